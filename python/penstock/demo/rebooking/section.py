"""The report's section on the second half."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from penstock.demo.markup import (
    cards,
    charts,
    figure,
    folded,
    key,
    line_figure,
    section,
    stage_table,
    table,
)
from penstock.demo.run_charts import Line, latencies
from penstock.demo.svg import element
from penstock.demo.waterfall import MOST_ROWS, tracers, waterfall
from penstock.demo.wording import counted, dollars, duration, integer, percent, rate
from penstock.tracing import Trace

from .charts import DEPTHS, depths, outcomes
from .outcome import Rebookings, Tally

__all__ = ("rebooked",)

_ROUTES = 10


def rebooked(found: Rebookings) -> str:
    """The whole section; what was not measured is left out of it."""
    return section(
        "The cancelled flights, rebooked",
        _lead(found),
        _verdict(found),
        cards(_figures(found)),
        charts(*_charts(found)),
    )


def _lead(found: Rebookings) -> str:
    reasons = ", ".join(f"{reason} {integer(count)}" for reason, count in found.reasons.items())
    refused = f" ({reasons})" if reasons else ""
    taken = (
        f"{counted(found.taken_over, 'saga')} went on in another process than the one that "
        "had begun them. "
        if found.taken_over
        else ""
    )
    return (
        f"{counted(found.cancelled, 'cancelled flight')}, each a saga of its own: "
        f"{integer(found.confirmed)} confirmed and {integer(found.refused)} refused{refused}, "
        f"with seed {found.seed}, in {found.seconds:.1f} s, "
        f"{rate(found.ended_here / max(found.seconds, 1e-9))} a second. {taken}"
        f"{counted(found.events, 'event')} went from the outbox to the queue."
    )


def _verdict(found: Rebookings) -> str:
    check = found.check
    differences: list[str] = []
    if check.differences:
        more = [f"and {integer(check.more)} more"] if check.more else []
        lines = [element("li", words=line) for line in (*check.differences, *more)]
        differences.append(element("ul", *lines))
    sign, style = ("✓", "verdict") if check.is_balanced else ("✕", "verdict failed")
    return element(
        "div", element("p", words=f"{sign} {check.line}"), *differences, class_=f"card {style}"
    )


def _figures(found: Rebookings) -> Iterable[tuple[str, str]]:
    refunds = found.refunds
    yield "confirmed", integer(found.confirmed)
    yield "refused, all undone", integer(found.refused)
    yield "parked", integer(found.parked)
    yield "passengers rebooked", integer(found.passengers_rebooked)
    yield "passengers stranded", integer(found.passengers_stranded)
    yield f"refunds paid, {dollars(refunds.paid_cents)}", integer(refunds.paid)
    yield f"refunds reversed, {dollars(refunds.reversed_cents)}", integer(refunds.reversed)
    yield "calls repeated, without effect", integer(refunds.repeated)
    yield "sagas taken over", integer(found.taken_over)
    yield "dead letters", integer(found.dead)
    yield "of them redriven", integer(found.redriven)
    if found.loop is not None:
        yield "loop delay, p99", duration(found.loop.p99)
        yield "loop delay, longest", duration(found.loop.greatest)
    yield "seed", str(found.seed)


def _charts(found: Rebookings) -> Iterable[str]:
    if found.months:
        yield figure(
            "Outcomes by month",
            key(("confirmed", "confirmed"), ("refused", "refused"), shape="bar"),
            outcomes(found.months),
            folded("the figures", _tallies("month", found.months)),
        )
    if found.slowest is not None:
        yield _slowest(found.slowest)
    stages = (*found.steps, *([found.end_to_end] if found.end_to_end else ()))
    if stages:
        yield figure(
            "Latency by step of the saga",
            key(("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("longest", "longest")),
            latencies(stages),
            folded("the figures", stage_table(stages, "step")),
        )
    if found.moments:
        yield figure("Queue depth", key(*DEPTHS, shape="bar"), depths(found.moments))
        yield from _course(found)
    if found.routes:
        most = found.routes[:_ROUTES]
        yield figure(
            "Routes with the most cancelled flights",
            f"{counted(len(most), 'route')} of {integer(len(found.routes))}",
            _tallies("route", most),
        )
    if found.dead:
        yield _letters(found)
    if found.health is not None:
        yield figure(
            "Health",
            "what the service said of its parts once it had started",
            element("pre", words=str(found.health)),
        )


def _slowest(trace: Trace) -> str:
    cut = len(trace) - MOST_ROWS
    more = [
        element("p", words=f"{counted(cut, 'more span')} in the tree below.", class_="soft")
    ] * (cut > 0)
    return figure(
        f"The slowest rebooking: {duration(trace.duration)}",
        key(*tracers(trace), shape="bar"),
        waterfall(trace),
        *more,
        folded("as a tree", element("pre", words=str(trace))),
    )


def _course(found: Rebookings) -> Iterable[str]:
    whole = "{:,.0f}".format
    speed = [
        (b.seconds, (b.ended - a.ended) / (b.seconds - a.seconds))
        for a, b in pairwise(found.moments)
        if b.seconds > a.seconds
    ]
    memory = [(m.seconds, m.memory / 1e6) for m in found.moments if m.memory is not None]
    yield line_figure(Line("Sagas ended", "rate", "a second", speed, whole))
    if memory:
        yield line_figure(Line("Memory", "memory", "MB, PSS of all processes", memory, whole))


def _tallies(heading: str, tallies: Iterable[Tally]) -> str:
    return table(
        (heading, "cancelled", "confirmed", "refused", "share"),
        (
            (
                tally.name,
                integer(tally.cancelled),
                integer(tally.confirmed),
                integer(tally.refused),
                percent(tally.share, 0),
            )
            for tally in tallies
        ),
    )


def _letters(found: Rebookings) -> str:
    some = len(found.letters)
    first = f"; here are the first {some}" if 0 < some < found.dead else ""
    return figure(
        "Dead letters",
        f"{counted(found.dead, 'notice')} given up by the consumer, "
        f"{integer(found.redriven)} redriven once it was repaired{first}",
        table(
            ("flight", "attempts", "reason"),
            ((letter.case, str(letter.attempts), letter.reason) for letter in found.letters),
            "letters",
        ),
    )
