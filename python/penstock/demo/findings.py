"""The figures behind the closing table and the report, read off a merged table of statistics.

Exact: means divide two integers once, percentiles are the smallest minute that at least that
share of the flights kept to (nearest rank).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from .batches import MISSING
from .statistics import Kind, Table, groups

__all__ = (
    "LATE",
    "Delays",
    "DistanceCheck",
    "Findings",
    "RouteError",
    "delays",
    "find",
    "route_name",
)

# From when on an airline's flight counts as late, in minutes (US Department of Transportation).
LATE = 15


@dataclass(frozen=True, slots=True)
class Delays:
    """The delays of one group of flights, in minutes; NaN where no flight has one."""

    name: str
    flights: int
    count: int
    mean: float
    median: float
    p90: float
    greatest: float
    late: float
    """Share of the flights with a delay that were 15 minutes late or more."""


@dataclass(frozen=True, slots=True)
class RouteError:
    """How far one route's published distance is from its great circle."""

    name: str
    published: int
    great_circle: float
    error: float


@dataclass(frozen=True, slots=True)
class DistanceCheck:
    """Published against great-circle distance; relative differences, weighted by flights."""

    compared: int
    without_coordinates: int
    mean: float
    greatest: float
    routes: tuple[RouteError, ...]
    """All compared routes, the greatest difference first."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the run found out about the flights."""

    flights: int
    without_departure: int
    arrivals: Delays
    departures: Delays
    arrivals_by_carrier: tuple[Delays, ...]
    departures_by_carrier: tuple[Delays, ...]
    arrivals_by_hour: tuple[Delays, ...]
    departures_by_hour: tuple[Delays, ...]
    arrivals_by_route: tuple[Delays, ...]
    distances: DistanceCheck
    unknown_tails: int
    flights_with_unknown_tail: int


def find(table: Table) -> Findings:
    """Read the figures off a merged table."""
    departures = delays("all", table[table["kind"] == Kind.HOUR_DEPARTURE])
    unknown = table[table["kind"] == Kind.UNKNOWN_TAIL]
    return Findings(
        flights=departures.flights,
        without_departure=departures.flights - departures.count,
        arrivals=delays("all", table[table["kind"] == Kind.HOUR_ARRIVAL]),
        departures=departures,
        arrivals_by_carrier=_by_group(table, Kind.CARRIER_ARRIVAL),
        departures_by_carrier=_by_group(table, Kind.CARRIER_DEPARTURE),
        arrivals_by_hour=_by_group(table, Kind.HOUR_ARRIVAL),
        departures_by_hour=_by_group(table, Kind.HOUR_DEPARTURE),
        arrivals_by_route=_by_group(table, Kind.ROUTE_ARRIVAL),
        distances=_distances(table),
        unknown_tails=len(unknown),
        flights_with_unknown_tail=int(unknown["count"].sum()),
    )


def _by_group(table: Table, kind: Kind) -> tuple[Delays, ...]:
    name = route_name if kind is Kind.ROUTE_ARRIVAL else str
    return tuple(delays(name(group), rows) for group, rows in groups(table, kind))


def route_name(group: str) -> str:
    """A route's two codes lie side by side in four bytes each, filled up with NULs."""
    return f"{group[:4].rstrip(chr(0))}-{group[4:]}"


def delays(name: str, rows: Table) -> Delays:
    """The figures of one group, of its rows in a merged table."""
    flights = int(rows["count"].sum())
    rows = rows[rows["value"] != MISSING]
    count = int(rows["count"].sum())
    if not count:
        nan = float("nan")
        return Delays(name, flights, 0, nan, nan, nan, nan, nan)
    minutes = rows["value"]
    order = np.argsort(minutes, kind="stable")
    minutes, counts = minutes[order], rows["count"][order]
    reached = np.cumsum(counts)

    def quantile(share: float) -> float:
        return float(minutes[np.searchsorted(reached, ceil(share * count))])

    return Delays(
        name=name,
        flights=flights,
        count=count,
        mean=int((minutes * counts).sum()) / count,
        median=quantile(0.5),
        p90=quantile(0.9),
        greatest=float(minutes[-1]),
        late=int(counts[minutes >= LATE].sum()) / count,
    )


def _distances(table: Table) -> DistanceCheck:
    published = {
        # Should a route be published with several distances, the most frequent one is shown.
        group: int(rows["value"][np.argmax(rows["count"])])
        for group, rows in groups(table, Kind.PUBLISHED_MILES)
    }
    errors = table[table["kind"] == Kind.DISTANCE_ERROR]
    missing = errors["value"] == MISSING
    compared = int(errors["count"][~missing].sum())
    size = np.abs(errors["value"][~missing])
    routes = []
    for group, rows in groups(table, Kind.DISTANCE_ERROR):
        millionths = max((v for v in rows["value"].tolist() if v != MISSING), key=abs, default=None)
        if millionths is not None:
            miles, error = published[group], millionths / 1e6
            routes.append(RouteError(route_name(group), miles, miles * (1 + error), error))
    routes.sort(key=lambda route: (-abs(route.error), route.name))
    return DistanceCheck(
        compared=compared,
        without_coordinates=int(errors["count"][missing].sum()),
        mean=int((size * errors["count"][~missing]).sum()) / compared / 1e6
        if compared
        else float("nan"),
        greatest=int(size.max()) / 1e6 if compared else float("nan"),
        routes=tuple(routes),
    )
