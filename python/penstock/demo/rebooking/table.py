"""The closing table's part on the second half."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.demo.layout import columns, pairs, stage_rows, titled
from penstock.demo.wording import counted, dollars, duration, integer, percent
from penstock.tracing import Trace

from .outcome import DeadLetter, Rebookings, Tally

__all__ = ("rebooked",)

_ROUTES = 10
_LETTERS = 5
# What a screen holds; the report has the whole of it.
_LINES = 25


def rebooked(found: Rebookings) -> Iterator[RenderableType]:
    """Titles and tables, top to bottom; what was not measured is left out."""
    yield from titled("Cancelled flights", _totals(found))
    if found.routes:
        yield from titled("Routes with the most cancelled flights", _routes(found.routes[:_ROUTES]))
    stages = (*found.steps, *([found.end_to_end] if found.end_to_end else ()))
    if stages:
        yield from titled("Saga steps, time per attempt", stage_rows(stages))
    if found.letters:
        yield from titled("Dead letters, the first of them", _letters(found.letters[:_LETTERS]))
    if found.slowest is not None:
        yield from titled("The slowest rebooking", _tree(found.slowest))
    yield from titled("The ledger", _verdict(found))


def _totals(found: Rebookings) -> Table:
    refunds = found.refunds
    rows = pairs()
    rows.add_row(
        "confirmed",
        integer(found.confirmed),
        f"{counted(found.passengers_rebooked, 'passenger')} rebooked",
    )
    rows.add_row(
        "refused, all undone",
        integer(found.refused),
        f"{counted(found.passengers_stranded, 'passenger')} stranded",
    )
    for reason, count in found.reasons.items():
        rows.add_row(Text(f"  {reason}"), Text(integer(count), style="not bold"))
    rows.add_row("parked", integer(found.parked))
    rows.add_row("taken over", integer(found.taken_over), "sagas ended by another process")
    rows.add_row("refunds paid", integer(refunds.paid), dollars(refunds.paid_cents))
    rows.add_row("refunds reversed", integer(refunds.reversed), dollars(refunds.reversed_cents))
    rows.add_row("calls repeated", integer(refunds.repeated), "answered again, without effect")
    rows.add_row("events published", integer(found.events), _deepest(found))
    rows.add_row("dead letters", integer(found.dead), f"{integer(found.redriven)} redriven")
    if found.loop is not None:
        rows.add_row(
            "loop delay, p99", duration(found.loop.p99), f"longest {duration(found.loop.greatest)}"
        )
    rows.add_row("seed", str(found.seed))
    return rows


def _deepest(found: Rebookings) -> str:
    if not found.moments:
        return ""
    outbox = max(moment.outbox for moment in found.moments)
    queue = max(moment.ready + moment.in_flight for moment in found.moments)
    return f"at most {integer(outbox)} in the outbox, {integer(queue)} in the queue"


def _routes(tallies: Iterable[Tally]) -> Table:
    table = columns("cancelled", "confirmed", "refused", "share")
    for tally in tallies:
        table.add_row(
            Text(tally.name),
            integer(tally.cancelled),
            integer(tally.confirmed),
            integer(tally.refused),
            percent(tally.share, 0),
        )
    return table


def _letters(letters: Iterable[DeadLetter]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("", no_wrap=True, max_width=32)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("reason")
    for letter in letters:
        # A column that may wrap is the one that is narrowed; its text is cut instead.
        reason = Text(letter.reason, no_wrap=True, overflow="ellipsis")
        table.add_row(Text(letter.case), integer(letter.attempts), reason)
    return table


def _tree(trace: Trace) -> Text:
    lines = str(trace).splitlines()
    more = len(lines) - _LINES
    if more > 0:
        lines[_LINES:] = [f"… and {counted(more, 'more span')} in the report"]
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _verdict(found: Rebookings) -> Group:
    check = found.check
    style = "green" if check.is_balanced else "bold red"
    lines = [Text(check.line, style=style), *(Text(line) for line in check.differences)]
    if check.more:
        lines.append(Text(f"and {integer(check.more)} more"))
    return Group(*lines)
