"""A second half as it might have gone: made-up figures, and spans of a real tracer."""

from __future__ import annotations

from penstock.demo.rebooking.outcome import (
    DeadLetter,
    LedgerCheck,
    LoopDelay,
    Moment,
    Rebookings,
    Refunds,
    Tally,
)
from penstock.demo.stage import Stage
from penstock.service import PartHealth, ServiceHealth, State
from penstock.tracing import FinishedSpan, SpanStore, Trace, Tracer

# name, tracer, parent's number (0: none), start and end in ms, what it failed with.
SPANS = (
    ("rebook 2013-02-08-UA1545-EWR", "penstock.demo", 0, 0, 2480, None),
    ("find candidates", "penstock.demo", 1, 2, 31, None),
    ("analyse", "penstock.workers", 2, 8, 29, None),
    ("saga rebook", "penstock.saga", 1, 34, 1302, None),
    ("reserve", "penstock.saga", 4, 36, 52, None),
    ("settle", "penstock.saga", 4, 54, 71, "Busy: the desk answered busy"),
    ("settle", "penstock.saga", 4, 580, 1211, None),
    ("refund", "penstock.demo", 7, 584, 1203, None),
    ("confirm", "penstock.saga", 4, 1214, 1301, None),
    ("relay rebookings", "penstock.outbox", 9, 1340, 1352, None),
    ("handle notices", "penstock.messages", 10, 1391, 1402, "Failed: by seed, once"),
    ("handle notices", "penstock.messages", 10, 2466, 2479.4, None),
)


def timed(span: FinishedSpan, start: float, end: float) -> FinishedSpan:
    """The same span from `start` to `end` in ms; only its pickled form lets one say so."""
    cls, ((ids, words, (_, _, dropped), *rest),) = span.__reduce__()
    begin = 1_800_000_000 * 10**9
    times = (begin + round(start * 1e6), begin + round(end * 1e6), dropped)
    return cls((ids, words, times, *rest))


def trace_of(spans=SPANS) -> Trace:
    """A trace recorded by real tracers, its times as given."""
    store = SpanStore()
    recorded = []
    for name, tracer, parent, _, _, error in spans:
        above = recorded[parent - 1].context if parent else None
        span = Tracer(tracer, store=store).span(name, {"saga.key": "2013"}, parent=above)
        if error:
            span.set_status("error", error)
        recorded.append(span)
        span.end()
    return Trace(
        timed(span, start, end)
        for span, (_, _, _, start, end, _) in zip(store.spans(), spans, strict=True)
    )


def moments(count: int = 215, total: int = 8255) -> tuple[Moment, ...]:
    """Sagas that end evenly; the consumer falls behind and catches up."""
    course = []
    for n in range(count):
        share = min(n / (count * 0.9), 1.0)
        ended = round(total * share)
        confirmed = round(ended * 0.622)
        outbox = round(40 * share * (1 - share) * (3 + n % 7))
        ready = round(1400 * share * (1 - share) * 4 * (0.9 + n % 5 / 40))
        course.append(
            Moment(
                seconds=n / 10,
                total=total,
                confirmed=confirmed,
                refused=ended - confirmed,
                parked=0,
                outbox=outbox,
                ready=ready,
                in_flight=16 if 0 < share < 1 else 0,
                dead=round(43 * share) if n < count - 5 else 0,
                memory=140_000_000 + n * 200_000,
            )
        )
    return tuple(course)


def rebookings(**changes) -> Rebookings:
    """The packaged year's second half, but for `changes`."""
    names = (
        "EWR-IAD LGA-DCA EWR-ORD LGA-ORD LGA-CLT JFK-BOS EWR-BOS LGA-RDU JFK-DCA LGA-ATL "
        "EWR-CLT LGA-BNA"
    )
    values = {
        "seed": 2013,
        "seconds": 21.4,
        "confirmed": 5134,
        "refused": 3121,
        "parked": 0,
        "reasons": {"no seat": 2947, "refund declined": 79, "gate closed": 95},
        "passengers_rebooked": 612_345,
        "passengers_stranded": 345_678,
        "refunds": Refunds(3456, 1_234_567_89, 52, 1_234_56, 3),
        "taken_over": 0,
        "steps": (
            Stage("reserve", "attempt", 8255, 0.0021, 0.0064, 0.0181, 0.094),
            Stage("settle", "attempt", 5391, 0.0052, 0.0113, 0.531, 1.21),
            Stage("confirm", "attempt", 5229, 0.0019, 0.0058, 0.0162, 0.081),
            Stage("undo settle", "attempt", 147, 0.0047, 0.0108, 0.0193, 0.0204),
            Stage("undo reserve", "attempt", 3121, 0.0019, 0.0051, 0.0139, 0.0793),
        ),
        "end_to_end": Stage("start to notice", "event", 8255, 0.21, 0.94, 2.1, 3.4),
        "events": 8255,
        "dead": 43,
        "redriven": 43,
        "letters": tuple(
            DeadLetter(
                f"2013-{1 + n % 12:02}-{1 + n:02}-EV{4100 + n}-EWR",
                "Failed: the desk for notices is out of order until it is repaired",
                4,
            )
            for n in range(8)
        ),
        "routes": tuple(
            Tally(name, 200 - 11 * n, 139 - 2 * n) for n, name in enumerate(names.split())
        ),
        "months": tuple(
            Tally(f"2013-{n + 1:02}", 300 + 40 * (n * 5 % 7), 180 + 60 * (n * 3 % 5))
            for n in range(12)
        ),
        "moments": moments(),
        "slowest": trace_of(),
        "loop": LoopDelay(0.0012, 0.0453),
        "health": ServiceHealth(
            "demo",
            State.RUNNING,
            True,
            tuple(
                PartHealth(name, State.RUNNING, True)
                for name in ("loop monitor", "pool", "saga store", "relay", "consumer")
            ),
        ),
        "check": LedgerCheck(
            True,
            "the ledger balances: 8,255 cancelled flights, 5,134 confirmed, 3,121 refused, "
            "3,508 effects at the desk, 8,255 notices",
        ),
    }
    return Rebookings(**{**values, **changes})
