"""The second half's closing figures as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from penstock.tracing import Trace

from .outcome import Rebookings, Tally

__all__ = ("rebooking_figures",)


def rebooking_figures(found: Rebookings) -> dict[str, Any]:
    """Nested dictionaries, lists, numbers and text; durations in seconds, amounts in cents."""
    return {
        "seed": found.seed,
        "seconds": found.seconds,
        "cancelled": found.cancelled,
        "confirmed": found.confirmed,
        "refused": found.refused,
        "parked": found.parked,
        "reasons": found.reasons,
        "passengers_rebooked": found.passengers_rebooked,
        "passengers_stranded": found.passengers_stranded,
        "refunds": asdict(found.refunds),
        "taken_over": found.taken_over,
        "steps": [asdict(step) for step in found.steps],
        "end_to_end": None if found.end_to_end is None else asdict(found.end_to_end),
        "events": found.events,
        "dead": found.dead,
        "redriven": found.redriven,
        "letters": [asdict(letter) for letter in found.letters],
        "routes": [_tally(tally) for tally in found.routes],
        "months": [_tally(tally) for tally in found.months],
        "deepest_outbox": max((moment.outbox for moment in found.moments), default=0),
        "deepest_queue": max(
            (moment.ready + moment.in_flight for moment in found.moments), default=0
        ),
        "slowest": None if found.slowest is None else _trace(found.slowest),
        "loop": None if found.loop is None else asdict(found.loop),
        "health": None if found.health is None else asdict(found.health),
        "check": asdict(found.check),
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {**asdict(tally), "cancelled": tally.cancelled, "share": tally.share}


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "seconds": trace.duration,
        "spans": [
            {
                "name": row.name,
                "depth": row.depth,
                "start": row.start,
                "duration": row.duration,
                "tracer": row.tracer,
                "status": row.status,
                "attributes": row.span.attributes,
            }
            for row in trace.waterfall()
        ],
    }
