"""The flights that matter: cancelled ones, and those that their passengers could be rebooked to.

A year has 336,776 lines. A first pass keeps the cancelled flights, 16 bytes of each other one and
the names of each day; a second one reads only the lines of what leaves soon after a cancelled one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from .source import Route, Row, read_planes, read_quarantine, read_rows

__all__ = ("WINDOW", "Flight", "Year", "read_year")

# How long after its own time a cancelled flight's passengers may leave, in minutes.
WINDOW = 36 * 60

# Of a plane nobody knows where no plane is known.
_CAPACITY = 150


class Flight(NamedTuple):
    """One flight; `moment` is its scheduled departure in local minutes."""

    moment: int
    key: str
    capacity: int
    miles: int


class Year(NamedTuple):
    """Per route: its cancelled flights, and what leaves soon after one, by moment and key."""

    cancelled: dict[Route, list[Flight]]
    candidates: dict[Route, list[Flight]]


class _Survey:
    """What the first pass keeps of one route."""

    def __init__(self) -> None:
        self.cancelled: list[Row] = []
        self.moments = array("q")  # of the others
        self.lines = array("q")
        self.seats: Counter[int] = Counter()


def read_year(data: Path, planes: Path, quarantine: Path | None) -> Year:
    """Read what the second half of the demo works on. Raises `Unreadable`."""
    lost = read_quarantine(quarantine)
    seats = read_planes(planes)
    surveys = _survey(read_rows(data, left_out=lost), seats)
    everywhere = sum((survey.seats for survey in surveys.values()), Counter[int]())
    usual = {
        route: _median_low(survey.seats or everywhere or Counter([_CAPACITY]))
        for route, survey in surveys.items()
    }

    def flight(row: Row) -> Flight:
        capacity = seats.get(row.tail) or usual[row.route]
        return Flight(row.moment, row.key, capacity, row.miles)

    year = Year({}, {})
    wanted: set[int] = set()
    for route, survey in surveys.items():
        if survey.cancelled:
            year.cancelled[route] = sorted(map(flight, survey.cancelled))
            year.candidates[route] = []
            wanted.update(_soon_after(year.cancelled[route], survey))
    for row in read_rows(data, only=wanted):
        year.candidates[row.route].append(flight(row))
    for flights in year.candidates.values():
        flights.sort()
    return year


def _survey(rows: Iterable[Row], seats: dict[str, int]) -> dict[Route, _Survey]:
    surveys: defaultdict[Route, _Survey] = defaultdict(_Survey)
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        names = seen[row.day]
        if row.name in names:
            continue  # the first line of a key counts
        names.add(row.name)
        survey = surveys[row.route]
        if row.tail in seats:
            survey.seats[seats[row.tail]] += 1
        if row.is_cancelled:
            survey.cancelled.append(row)
        else:
            survey.moments.append(row.moment)
            survey.lines.append(row.line)
    return surveys


def _soon_after(cancelled: list[Flight], survey: _Survey) -> Iterable[int]:
    """The lines of flights that leave within `WINDOW` after one of the cancelled."""
    moments = [flight.moment for flight in cancelled]
    for moment, line in zip(survey.moments, survey.lines, strict=True):
        before = bisect_left(moments, moment)
        if before and moment - moments[before - 1] <= WINDOW:
            yield line


def _median_low(votes: Counter[int]) -> int:
    """`statistics.median_low` of values that come with their number of votes."""
    values = sorted(votes)
    upto = list(accumulate(votes[value] for value in values))
    return values[bisect_left(upto, (upto[-1] + 1) // 2)]
