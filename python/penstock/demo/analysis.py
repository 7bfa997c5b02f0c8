"""What a worker does with a batch: fill its computed columns and tabulate its statistics.

A plain function of numpy arrays that knows nothing of pools or streams; the pool hands it the
batch by reference and takes batch and table back the same way.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .batches import MISSING, Batch
from .data import Reference
from .statistics import Kind, Table, merge, tabulate

__all__ = ("EARTH_RADIUS_MILES", "Analysed", "analyse")

EARTH_RADIUS_MILES = 3958.7613  # mean radius, IUGG

_HOURS = np.array([f"{hour:02}" for hour in range(24)], dtype="S2")


class Analysed(NamedTuple):
    """A batch with its computed columns, its statistics, and how long both took."""

    batch: Batch
    table: Table
    seconds: float


def analyse(batch: Batch, reference: Reference) -> Analysed:
    """Fill the computed columns and tabulate the statistics; a read-only batch is copied first."""
    began = time.perf_counter()
    if not batch.flags.writeable:
        batch = batch.copy()
    _compute(batch, reference)
    table = _tabulate(batch)
    return Analysed(batch, table, time.perf_counter() - began)


def _compute(batch: Batch, reference: Reference) -> None:
    departure, arrival = batch["dep_delay"], batch["arr_delay"]
    flown = (departure != MISSING) & (arrival != MISSING)
    batch["made_up"] = np.where(flown, departure - arrival, MISSING)
    batch["tail_known"] = _contains(reference.tails, batch["tailnum"])
    batch["great_circle"] = _great_circle(batch, reference.airports)
    published = batch["distance"]
    with np.errstate(divide="ignore", invalid="ignore"):
        batch["distance_error"] = (batch["great_circle"] - published) / published


def _tabulate(batch: Batch) -> Table:
    departure, arrival, published = batch["dep_delay"], batch["arr_delay"], batch["distance"]
    hour = _HOURS[batch["hour"]]
    route = _routes(batch)
    unknown = batch["tailnum"][~batch["tail_known"]]
    error = batch["distance_error"]
    compared = np.isfinite(error)
    millionths = np.where(compared, np.rint(np.where(compared, error, 0) * 1e6), MISSING)
    return merge(
        tabulate(Kind.CARRIER_ARRIVAL, batch["carrier"], arrival),
        tabulate(Kind.CARRIER_DEPARTURE, batch["carrier"], departure),
        tabulate(Kind.HOUR_ARRIVAL, hour, arrival),
        tabulate(Kind.HOUR_DEPARTURE, hour, departure),
        tabulate(Kind.ROUTE_ARRIVAL, route, arrival),
        tabulate(Kind.PUBLISHED_MILES, route, published),
        tabulate(Kind.DISTANCE_ERROR, route, millionths.astype(np.int64)),
        tabulate(Kind.UNKNOWN_TAIL, unknown, np.zeros(len(unknown), np.int64)),
    )


def _routes(batch: Batch) -> npt.NDArray[np.bytes_]:
    """Origin and destination side by side in eight bytes."""
    pair = np.empty(len(batch), [("origin", "S4"), ("dest", "S4")])
    pair["origin"], pair["dest"] = batch["origin"], batch["dest"]
    return pair.view("S8")


def _contains(
    known: npt.NDArray[np.bytes_], wanted: npt.NDArray[np.bytes_]
) -> npt.NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(wanted), np.bool_)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[place] == wanted
    return found


def _great_circle(batch: Batch, airports: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """Miles between origin and destination by the haversine; NaN where one has no coordinates."""
    names = airports["faa"]
    routes, back = np.unique(_routes(batch).view(">u8"), return_inverse=True)
    ends = routes.view([("origin", "S4"), ("dest", "S4")])
    known = _contains(names, ends["origin"]) & _contains(names, ends["dest"])
    miles = np.full(len(routes), np.nan)
    start = airports[np.searchsorted(names, ends["origin"][known])]
    end = airports[np.searchsorted(names, ends["dest"][known])]
    half = (
        np.sin((end["latitude"] - start["latitude"]) / 2) ** 2
        + np.cos(start["latitude"])
        * np.cos(end["latitude"])
        * np.sin((end["longitude"] - start["longitude"]) / 2) ** 2
    )
    miles[known] = 2 * EARTH_RADIUS_MILES * np.arcsin(np.sqrt(half))
    return miles[back]
