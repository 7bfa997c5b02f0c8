"""The flights that cases are made of, kept while the first half streams past: 36 bytes each.

A `Collector` copies what is needed of each batch; its `schedule()` sorts this by route, moment
and key, so that the candidates of a cancelled flight are one stretch, found by binary search.
The year's 336,776 flights cost 12 MB; while they are sorted, 19 MB more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.demo.batches import MISSING, Batch
from penstock.demo.data import Planes

from .rules import SEATS_IF_NOTHING_IS_KNOWN, WINDOW_MINUTES, flight_key

__all__ = ("FLIGHT", "Collector", "Flights", "Route", "Schedule")

# Every column is as small as the parser's limits allow: 28 bytes.
FLIGHT = np.dtype(
    [
        ("year", np.int16),
        ("month", np.int8),
        ("day", np.int8),
        ("hour", np.int8),
        ("minute", np.int8),
        ("cancelled", np.bool_),
        ("seats", np.int16),  # 0 where the plane is not known, until the schedule is made
        ("flight", np.int32),
        ("distance", np.int32),
        ("carrier", "S3"),
        ("origin", "S4"),
        ("dest", "S4"),
    ]
)

Flights = npt.NDArray[np.void]

_COPIED = tuple(name for name in FLIGHT.names or () if name not in {"cancelled", "seats"})
_AT_ONCE = 65_536


class Route(NamedTuple):
    """Origin and destination, and where their flights lie in the schedule."""

    origin: str
    dest: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        """`JFK-LAX`."""
        return f"{self.origin}-{self.dest}"


class Collector:
    """Takes the batches of a file in the file's order; belongs to one run and one task."""

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._parts: list[Flights] = []

    def add(self, batch: Batch) -> Batch:
        """Keep what is needed of a batch and return the batch; about 5 ms for 65,536 flights.

        The first of several flights with one key counts, so this has its place in front of the
        workers, which give batches back in any order.
        """
        part = np.empty(len(batch), FLIGHT)
        for name in _COPIED:
            part[name] = batch[name]
        part["cancelled"] = batch["dep_time"] == MISSING
        part["seats"] = self._planes.seats_of(batch["tailnum"])
        self._parts.append(part)
        return batch

    def schedule(self) -> Schedule:
        """All flights so far, sorted; the collector is empty afterwards. About a second a year."""
        flights = np.empty(sum(map(len, self._parts)), FLIGHT)
        start = 0
        # Freed one by one, so that nothing is there twice.
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            flights[start : start + len(part)] = part
            start += len(part)
        return Schedule(flights)


class Schedule:
    """Flights in order of route, moment and key; a flight is named by its place in it.

    `flights` are records of `FLIGHT` in the order of their file, of which the first with a key
    counts; they are sorted in place, and nothing changes them afterwards.
    """

    def __init__(self, flights: Flights) -> None:
        names, dates, moments = _names(flights), _dates(flights), _moments(flights)
        origin = flights["origin"]
        order = np.lexsort((names, dates, origin))
        # The sort is stable: of equal keys the first of the file comes first.
        counts = np.ones(len(order), np.bool_)
        counts[order[1:]] = ~(_same(names, order) & _same(dates, order) & _same(origin, order))
        order = np.lexsort((names, dates, moments, flights["dest"], origin))
        del names
        order = order[counts[order]]
        self.moments: npt.NDArray[np.int64] = moments[order]
        """Minutes of local time, counted from 1970."""
        # Column by column, in place: a second array would be the largest thing around.
        for name in FLIGHT.names or ():
            flights[name][: len(order)] = flights[name][order]
        self.flights: Flights = flights[: len(order)]
        self.routes: tuple[Route, ...] = tuple(_routes(self.flights))
        self._fill_capacities()

    def _fill_capacities(self) -> None:
        seats = self.flights["seats"]
        everywhere = _median_low(seats) or SEATS_IF_NOTHING_IS_KNOWN
        filled = seats.copy()
        for route in self.routes:
            there = seats[route.start : route.stop]
            filled[route.start : route.stop][there == 0] = _median_low(there) or everywhere
        self.flights["seats"] = filled

    def __len__(self) -> int:
        return len(self.flights)

    @property
    def nbytes(self) -> int:
        """Bytes of array data."""
        return self.flights.nbytes + self.moments.nbytes

    @property
    def cancellations(self) -> int:
        """How many flights were cancelled: one case each."""
        return int(np.count_nonzero(self.flights["cancelled"]))

    def cancelled(self, route: Route) -> list[int]:
        """The cancelled flights of a route, in the order in which they are to be handled."""
        there = self.flights["cancelled"][route.start : route.stop]
        places: list[int] = (np.flatnonzero(there) + route.start).tolist()
        return places

    def candidates(self, route: Route, place: int) -> Flights:
        """The flights that may take the passengers of the one at `place`, soonest first."""
        moments = self.moments[route.start : route.stop]
        moment = self.moments[place]
        start, stop = np.searchsorted(moments, (moment, moment + WINDOW_MINUTES), side="right")
        there = self.flights[route.start + start : route.start + stop]
        flown: Flights = there[~there["cancelled"]]
        return flown

    def packed(self, route: Route, place: int) -> bytes:
        """A cancelled flight and its candidates for `plan`: 28 bytes each, quick to pickle."""
        cancelled = self.flights[place : place + 1]
        return cancelled.tobytes() + self.candidates(route, place).tobytes()

    def key(self, place: int) -> str:
        """The key of the flight at `place`."""
        row = self.flights[place]
        year, month, day, flight = (int(row[name]) for name in ("year", "month", "day", "flight"))
        return flight_key(year, month, day, row["carrier"].decode(), flight, row["origin"].decode())


def _same(column: npt.NDArray[np.generic], order: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether each but the first has the value of the one before it."""
    ordered = column[order]
    same: npt.NDArray[np.bool_] = ordered[1:] == ordered[:-1]
    return same


def _names(flights: Flights) -> npt.NDArray[np.bytes_]:
    """Carrier and number as one text, as in a key: `A` 15 and `A1` 5 are the same.

    The dash that follows in a key is part of it, since some characters sort in front of it.
    """
    names = np.empty(len(flights), "S13")
    for start in range(0, len(flights), _AT_ONCE):
        some = flights[start : start + _AT_ONCE]
        texts = np.char.add(some["carrier"], some["flight"].astype("S9"))
        names[start : start + _AT_ONCE] = np.char.add(texts, b"-")
    return names


def _dates(flights: Flights) -> npt.NDArray[np.int32]:
    """A number for each date as it is written; also for one that no calendar has."""
    year, month, day = (flights[name].astype(np.int32) for name in ("year", "month", "day"))
    return np.asarray((year * 100 + month) * 100 + day, np.int32)


def _moments(flights: Flights) -> npt.NDArray[np.int64]:
    """Minutes since 1970; the 30th of February is the 2nd of March, or the 1st."""
    months = (flights["year"].astype(np.int64) - 1970) * 12 + flights["month"] - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days += flights["day"] - 1
    return np.asarray((days * 24 + flights["hour"]) * 60 + flights["minute"], np.int64)


def _median_low(seats: npt.NDArray[np.int16]) -> int:
    """The lower median of the seats that are known; 0 if none are."""
    known = np.sort(seats[seats > 0])
    return int(known[(len(known) - 1) // 2]) if len(known) else 0


def _routes(flights: Flights) -> Iterator[Route]:
    begins = np.ones(len(flights), np.bool_)
    begins[1:] = (flights["origin"][1:] != flights["origin"][:-1]) | (
        flights["dest"][1:] != flights["dest"][:-1]
    )
    starts = np.flatnonzero(begins).tolist()
    for start, stop in pairwise([*starts, len(flights)]):
        row = flights[start]
        yield Route(row["origin"].decode(), row["dest"].decode(), start, stop)
