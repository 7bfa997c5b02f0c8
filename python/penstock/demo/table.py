"""The closing table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .findings import Delays
from .run import Run
from .stage import Stage
from .wording import duration, integer, megabytes, minutes, percent, rate

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
        *_titled("Stages, time per call", _stages(run.stages)),
        *_titled("The run", _run(run, report)),
    )


def _titled(title: str, body: Table) -> tuple[Text, Padding]:
    return Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2))


def _pairs() -> Table:
    pairs = Table.grid(padding=(0, 2))
    pairs.add_column(style="dim")
    pairs.add_column(justify="right", style="bold", no_wrap=True)
    pairs.add_column()
    return pairs


def _totals(run: Run) -> Table:
    found = run.findings
    pairs = _pairs()
    pairs.add_row("flights", integer(found.flights))
    pairs.add_row("without a departure", integer(found.without_departure))
    pairs.add_row(
        "with an arrival delay",
        integer(found.arrivals.count),
        f"mean {found.arrivals.mean:.3f} min, median {minutes(found.arrivals.median)}, "
        f"p90 {minutes(found.arrivals.p90)}",
    )
    pairs.add_row(
        "with an unknown tail number",
        integer(found.flights_with_unknown_tail),
        f"{integer(found.unknown_tails)} different ones",
    )
    check = found.distances
    pairs.add_row(
        "distances compared",
        integer(check.compared),
        f"off the great circle by {percent(check.mean, 2)} on average, "
        f"{percent(check.greatest, 2)} at most",
    )
    pairs.add_row(
        "lines in quarantine",
        integer(run.quarantined),
        str(run.quarantine) if run.quarantined else "",
    )
    return pairs


def _groups(title: str, rows: list[tuple[str, Delays]]) -> tuple[Text, Padding] | tuple[()]:
    if not rows:
        return ()
    table = _columns("flights", "mean", "median", "p90", "15+ min")
    for name, delays in rows:
        table.add_row(
            name,
            integer(delays.flights),
            minutes(delays.mean, 1),
            minutes(delays.median),
            minutes(delays.p90),
            percent(delays.late, 0),
        )
    return _titled(f"{title}, the latest by mean arrival delay in minutes", table)


def _columns(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("", no_wrap=True, width=32)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=7)
    return table


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


def _stages(stages: tuple[Stage, ...]) -> Table:
    table = _columns("calls", "p50", "p90", "p99", "max")
    for stage in stages:
        times = (stage.p50, stage.p90, stage.p99, stage.greatest)
        table.add_row(
            f"{stage.name} ({stage.unit})", integer(stage.count), *(duration(t) for t in times)
        )
    return table


def _run(run: Run, report: Path) -> Table:
    pairs = _pairs()
    pairs.add_row("run time", f"{run.seconds:.1f} s", f"{rate(run.lines / run.seconds)} lines/s")
    memory = run.peak_memory
    pairs.add_row(
        "peak memory",
        "not measured" if memory is None else megabytes(memory),
        "PSS of all processes, every 100 ms",
    )
    pairs.add_row("workers", str(run.workers), f"busy {percent(run.utilisation, 0)} of the time")
    pairs.add_row(
        "batches",
        str(run.batches),
        f"of {megabytes(run.largest_batch)}; "
        f"pickle stream at most {integer(run.largest_stream)} bytes",
    )
    pairs.add_row("report", "", str(report))
    return pairs
