"""The flight that made up the most minutes in the air, found in a column that workers computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .batches import Batch

__all__ = ("Recovery", "best_recovery")


@dataclass(frozen=True, slots=True, order=True)
class Recovery:
    """Minutes made up first, so that the greater of two is the better one, whatever the order."""

    minutes: int
    day: str
    carrier: str
    flight: int
    route: str


def best_recovery(batch: Batch) -> Recovery | None:
    """The best of one analysed batch; None when no flight in it has both delays."""
    if not len(batch):
        return None
    most = int(batch["made_up"].max())
    if most < 0:
        return None
    return max(_recovery(record) for record in batch[batch["made_up"] == most])


def _recovery(record: np.void) -> Recovery:
    return Recovery(
        minutes=int(record["made_up"]),
        day=f"{record['year']:04}-{record['month']:02}-{record['day']:02}",
        carrier=record["carrier"].decode("ascii"),
        flight=int(record["flight"]),
        route=f"{record['origin'].decode('ascii')}-{record['dest'].decode('ascii')}",
    )
