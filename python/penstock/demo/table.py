"""The closing table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .findings import Delays
from .layout import columns, pairs, stage_rows, titled
from .rebooking.table import rebooked
from .run import Run
from .wording import integer, megabytes, minutes, percent, rate

__all__ = ("closing_table",)

_SHOWN = 5
_DAILY = 365


def closing_table(run: Run, report: Path) -> Group:
    """What a person reads when the run is over; made for 80 columns and more."""
    found = run.findings
    often = any(group.count >= _DAILY for group in found.arrivals_by_route)
    return Group(
        Text(),
        _totals(run),
        *_groups("Carriers", _carriers(run)),
        *_groups("Routes flown daily" if often else "Routes", _routes(run, _DAILY if often else 1)),
        *_groups("Scheduled hours", _hours(run)),
        *titled("Stages, time per call", stage_rows(run.stages)),
        *(() if run.rebookings is None else rebooked(run.rebookings)),
        *titled("The run", _run(run, report)),
    )


def _totals(run: Run) -> Table:
    found = run.findings
    rows = pairs()
    rows.add_row("flights", integer(found.flights))
    rows.add_row("without a departure", integer(found.without_departure))
    rows.add_row(
        "with an arrival delay",
        integer(found.arrivals.count),
        f"mean {found.arrivals.mean:.3f} min, median {minutes(found.arrivals.median)}, "
        f"p90 {minutes(found.arrivals.p90)}",
    )
    rows.add_row(
        "with an unknown tail number",
        integer(found.flights_with_unknown_tail),
        f"{integer(found.unknown_tails)} different ones",
    )
    check = found.distances
    rows.add_row(
        "distances compared",
        integer(check.compared),
        f"off the great circle by {percent(check.mean, 2)} on average, "
        f"{percent(check.greatest, 2)} at most",
    )
    if run.comparison is not None:
        differing = {each.route for each in run.comparison.disagreements}
        rows.add_row(
            "routes counted twice",
            integer(run.comparison.routes),
            f"by old code and by new, which differ in {integer(len(differing))}",
        )
    rows.add_row(
        "lines in quarantine",
        integer(run.quarantined),
        Text(str(run.quarantine)) if run.quarantined else "",
    )
    return rows


def _groups(title: str, rows: list[tuple[str, Delays]]) -> tuple[Text, Padding] | tuple[()]:
    if not rows:
        return ()
    table = columns("flights", "mean", "median", "p90", "15+ min")
    for name, delays in rows:
        table.add_row(
            Text(name),
            integer(delays.flights),
            minutes(delays.mean, 1),
            minutes(delays.median),
            minutes(delays.p90),
            percent(delays.late, 0),
        )
    return titled(f"{title}, the latest by mean arrival delay in minutes", table)


def _worst(groups: tuple[Delays, ...], least: int) -> list[Delays]:
    enough = [group for group in groups if group.count >= least]
    return sorted(enough, key=lambda group: -group.mean)[:_SHOWN]


def _carriers(run: Run) -> list[tuple[str, Delays]]:
    return [
        (f"{group.name} {run.airlines.get(group.name, '')}".rstrip(), group)
        for group in _worst(run.findings.arrivals_by_carrier, 1)
    ]


def _routes(run: Run, least: int) -> list[tuple[str, Delays]]:
    return [(group.name, group) for group in _worst(run.findings.arrivals_by_route, least)]


def _hours(run: Run) -> list[tuple[str, Delays]]:
    return [(f"{group.name}:00", group) for group in _worst(run.findings.arrivals_by_hour, 1)]


def _run(run: Run, report: Path) -> Table:
    rows = pairs()
    rows.add_row("run time", f"{run.total_seconds:.1f} s", _speed(run))
    memory = run.peak_memory
    rows.add_row(
        "peak memory",
        "not measured" if memory is None else megabytes(memory),
        "PSS of all processes, every 100 ms",
    )
    rows.add_row("workers", str(run.workers), f"busy {percent(run.utilisation, 0)} of the time")
    rows.add_row(
        "batches",
        str(run.batches),
        f"of {megabytes(run.largest_batch)}; "
        f"pickle stream at most {integer(run.largest_stream)} bytes",
    )
    rows.add_row("report", "", Text(str(report)))
    return rows


def _speed(run: Run) -> str:
    speed = f"{rate(run.lines / run.seconds)} lines/s"
    second = run.rebookings
    if second is None:
        return speed
    return (
        f"the file {run.seconds:.1f} s ({speed}), the rebookings {second.seconds:.1f} s "
        f"({rate(second.ended_here / max(second.seconds, 1e-9))} sagas/s)"
    )
