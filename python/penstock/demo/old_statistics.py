"""The delays of a route as they used to be counted: lists, one flight at a time, and one mistake.

This is the old implementation that the new one in `findings` is compared with; nothing but the
comparison reads its answers. The mistake is planted, and of the kind that is found in old code:
where a tenth of the flights is a whole number of them, the p90 is taken one flight too late.
"""

from __future__ import annotations

from .batches import MISSING
from .findings import LATE, Delays
from .statistics import Table

__all__ = ("old_delays",)


def old_delays(name: str, rows: Table) -> Delays:
    """The same figures as `findings.delays`, but for the p90 of some routes."""
    minutes: list[int] = []
    flights = 0
    for value, count in zip(rows["value"].tolist(), rows["count"].tolist(), strict=True):
        flights += count
        if value != MISSING:
            minutes.extend([value] * count)
    minutes.sort()
    count = len(minutes)
    if not count:
        nan = float("nan")
        return Delays(name, flights, 0, nan, nan, nan, nan, nan)
    return Delays(
        name=name,
        flights=flights,
        count=count,
        mean=sum(minutes) / count,
        median=float(minutes[(count - 1) // 2]),
        p90=float(minutes[int(0.9 * count)]),  # the mistake: ceil(0.9 * count) - 1
        greatest=float(minutes[-1]),
        late=sum(delay >= LATE for delay in minutes) / count,
    )
