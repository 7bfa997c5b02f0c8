"""The closing table's part on the second half, at 80 columns and more."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group

from penstock.demo.rebooking.outcome import DeadLetter, LedgerCheck, Tally
from penstock.demo.rebooking.table import rebooked
from penstock.demo.wording import percent
from tests.demo.rebookings import rebookings, trace_of


def shown(found, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(Group(*rebooked(found)))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_figures_stand_whole_in_their_columns(width):
    lines = shown(rebookings(), width)
    assert max(map(len, lines)) <= width
    for line in (
        "  confirmed             5,134  612,345 passengers rebooked",
        "    no seat             2,947",
        "  parked                    0",
        "  refunds paid          3,456  $1,234,567.89",
        "  loop delay, p99      1.2 ms  longest 45 ms",
        "  dead letters             43  43 redriven",
        "  seed                   2013",
        f"  EWR-IAD                                 339        200      139  {percent(0.59, 0):>7}",
        "  settle (attempt)                    5,391   5.2 ms    11 ms   531 ms    1.2 s",
        "  start to notice (event)             8,255   210 ms   940 ms    2.1 s    3.4 s",
    ):
        assert line in lines
    letters = [line for line in lines if line.startswith("  2013-01-01-EV4100-EWR         4  Fail")]
    assert len(letters) == 1
    assert letters[0].endswith("…") == (width == 80)


def test_the_tree_keeps_one_line_to_a_span():
    lines = shown(rebookings())
    first = lines.index("The slowest rebooking") + 1
    assert lines[first].startswith("  trace ")
    assert lines[first + 12].startswith("           └─ handle notices")
    assert lines[first + 13] == ""


def test_a_long_tree_is_cut_off():
    long = trace_of([("step", "t", min(n, 1), n, n + 1, None) for n in range(70)])
    lines = shown(rebookings(slowest=long))
    assert "  … and 46 more spans in the report" in lines


def test_a_ledger_that_does_not_balance_tells_its_differences():
    check = LedgerCheck(False, "the ledger does not balance", ("one", "two"), 3)
    lines = shown(rebookings(check=check))
    assert lines[-4:] == ["  the ledger does not balance", "  one", "  two", "  and 3 more"]


def test_what_was_not_measured_is_left_out():
    lines = shown(
        rebookings(
            reasons={},
            steps=(),
            end_to_end=None,
            letters=(),
            routes=(),
            months=(),
            moments=(),
            slowest=None,
            loop=None,
        )
    )
    assert not any("Saga steps" in line or "slowest" in line or "loop" in line for line in lines)
    assert "Cancelled flights" in lines
    assert "The ledger" in lines


def test_names_are_never_read_as_markup():
    lines = shown(
        rebookings(
            reasons={"[red]r[/red]": 1},
            routes=(Tally("[/]", 1, 2),),
            letters=(DeadLetter("[/]", "[/]", 1),),
            check=LedgerCheck(True, "[/]"),
        )
    )
    assert any("[red]r[/red]" in line for line in lines)
    assert lines[-1] == "  [/]"
