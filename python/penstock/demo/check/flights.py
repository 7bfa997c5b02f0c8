"""Flights, planes and quarantined lines, read one line at a time with the csv module.

A year has 336,776 flights; what is kept of them are the cancelled ones, those they could be
rebooked to, and per day the names already seen. Two passes cost less than keeping the rest.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = ("WINDOW", "Flight", "Route", "Unreadable", "Year", "read_year")

Route: TypeAlias = tuple[str, str]

# How long after its own time a cancelled flight's passengers may leave, in minutes.
WINDOW = 36 * 60

# Of a plane nobody knows on a route nobody knows.
_CAPACITY = 150

_COLUMNS = ("year", "month", "day", "hour", "minute", "carrier", "flight", "origin", "dest")
_MORE_COLUMNS = ("dep_time", "tailnum", "distance")
_MAGIC_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MAGIC_GZIP = b"\x1f\x8b"
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Unreadable(Exception):
    """A file that the check cannot read: its message is one line that names file and remedy."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(" ".join(f"ledger check: {path}: {why} hint: {hint}".split()))


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


class _Row(NamedTuple):
    line: int
    day: str
    moment: int
    name: str
    route: Route
    cancelled: bool
    tail: str
    miles: int


def read_year(data: Path, planes: Path, quarantine: Path | None) -> Year:
    """Read what the second half of the demo works on. Raises `Unreadable`."""
    lost = _read_quarantine(quarantine)
    seats = _read_planes(planes)
    cancelled, flown, known = _survey(_rows(data, left_out=lost), seats)
    usual = {route: _median_low(votes) for route, votes in known.items()}
    everywhere = _median_low(sum(known.values(), Counter())) if known else _CAPACITY

    def flight(row: _Row) -> Flight:
        capacity = seats.get(row.tail)
        if capacity is None:
            capacity = usual.get(row.route, everywhere)
        return Flight(row.moment, f"{row.day}-{row.name}", capacity, row.miles)

    year = Year(
        {route: sorted(map(flight, rows)) for route, rows in cancelled.items()},
        {route: [] for route in cancelled},
    )
    wanted = _soon_after(year.cancelled, flown)
    for row in _rows(data, only=wanted):
        year.candidates[row.route].append(flight(row))
    for flights in year.candidates.values():
        flights.sort()
    return year


def _survey(
    rows: Iterator[_Row], seats: dict[str, int]
) -> tuple[dict[Route, list[_Row]], dict[Route, _Flown], dict[Route, Counter[int]]]:
    """Per route: the cancelled flights, moment and line of the others, the votes for a capacity."""
    cancelled: defaultdict[Route, list[_Row]] = defaultdict(list)
    flown: defaultdict[Route, _Flown] = defaultdict(_Flown)
    known: defaultdict[Route, Counter[int]] = defaultdict(Counter)
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        names = seen[row.day]
        if row.name in names:
            continue  # the first line of a key counts
        names.add(row.name)
        if row.tail in seats:
            known[row.route][seats[row.tail]] += 1
        if row.cancelled:
            cancelled[row.route].append(row)
        else:
            flown[row.route].add(row)
    return cancelled, flown, known


def _soon_after(cancelled: dict[Route, list[Flight]], flown: dict[Route, _Flown]) -> set[int]:
    """The lines of flights that leave within `WINDOW` after a cancelled one of their route."""
    lines = set()
    for route, flights in cancelled.items():
        moments = [flight.moment for flight in flights]
        others = flown.get(route, _Flown())
        for moment, line in zip(others.moments, others.lines, strict=True):
            before = bisect_left(moments, moment)
            if before and moment - moments[before - 1] <= WINDOW:
                lines.add(line)
    return lines


def _median_low(votes: Counter[int]) -> int:
    """`statistics.median_low` of values that come with their number of votes."""
    values = sorted(votes)
    upto = list(accumulate(votes[value] for value in values))
    return values[bisect_left(upto, (upto[-1] + 1) // 2)]


class _Flown:
    """Moments and lines of the flights of one route that did leave, in 16 bytes each."""

    def __init__(self) -> None:
        self.moments = array("q")
        self.lines = array("q")

    def add(self, row: _Row) -> None:
        self.moments.append(row.moment)
        self.lines.append(row.line)


def _rows(
    path: Path, *, left_out: Container[int] = (), only: Container[int] | None = None
) -> Iterator[_Row]:
    names: dict[tuple[str, str, str], str] = {}
    days: dict[tuple[str, str, str], tuple[str, int]] = {}
    number = 1
    try:
        with _content(path) as lines:
            head = _fields(next(lines, b"").removeprefix(b"\xef\xbb\xbf"))
            pick = _picker(path, [name.strip() for name in head])
            for number, line in enumerate(lines, 2):
                if number in left_out or (only is not None and number not in only):
                    continue
                if not line.strip():
                    continue
                fields = _fields(line)
                if len(fields) != len(head):
                    raise ValueError(f"it has {len(fields)} fields, not {len(head)}")
                year, month, day, hour, minute, carrier, flight, origin, dest, *rest = pick(fields)
                departed, tail, miles = rest
                day_known = days.get((year, month, day))
                if day_known is None:
                    day_known = days[year, month, day] = _day(int(year), int(month), int(day))
                name = names.get((carrier, flight, origin))
                if name is None:
                    name = f"{carrier}{int(flight)}-{origin}"
                    names[carrier, flight, origin] = name
                text, midnight = day_known
                yield _Row(
                    number,
                    text,
                    midnight + 60 * int(hour) + int(minute),
                    name,
                    (origin, dest),
                    departed == "NA",
                    tail,
                    int(miles),
                )
    except (ValueError, csv.Error) as error:
        raise Unreadable(
            path,
            f"line {number:,} is no flight, and the quarantine does not name it: {error}",
            "name the quarantine file of the same run with --quarantine",
        ) from None
    except _BROKEN as error:
        raise Unreadable(path, f"cannot be read: {error}", "fetch or write it again") from None


def _day(year: int, month: int, day: int) -> tuple[str, int]:
    """The day as in a key, and its midnight in minutes; the 30th of February comes in March."""
    midnight = date(year, month, 1).toordinal() + day - 1
    return f"{year:04}-{month:02}-{day:02}", midnight * 24 * 60


def _fields(line: bytes) -> list[str]:
    text = line.rstrip(b"\r\n").decode()
    return next(csv.reader([text], strict=True)) if '"' in text else text.split(",")


def _picker(path: Path, head: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
    columns = (*_COLUMNS, *_MORE_COLUMNS)
    missing = [name for name in columns if name not in head]
    if missing:
        raise Unreadable(
            path,
            f"has no column {', '.join(missing)}",
            "give the file of flights that the demo worked through",
        )
    return itemgetter(*map(head.index, columns))


@contextmanager
def _content(path: Path) -> Iterator[Iterator[bytes]]:
    """The bytes of a csv, csv.gz or zip, known by its first bytes and not by its name."""
    with path.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(_MAGIC_ZIP):
            with zipfile.ZipFile(raw) as archive:
                files = [entry for entry in archive.infolist() if not entry.is_dir()]
                if len(files) != 1:
                    raise Unreadable(
                        path, f"is a zip of {len(files)} files", "unpack it and give one of them"
                    )
                # Lines of a member itself are cut by Python code.
                with archive.open(files[0]) as member, io.BufferedReader(member) as lines:  # type: ignore[type-var]
                    yield lines
        elif magic.startswith(_MAGIC_GZIP):
            with gzip.open(raw) as unpacked:
                yield unpacked
        else:
            yield raw


def _read_planes(path: Path) -> dict[str, int]:
    """Tail number → seats, of the planes whose seats are known."""
    hint = "give a csv with the columns tailnum and seats"
    return {
        tail: int(seats)
        for tail, seats in _read_table(path, "planes", ("tailnum", "seats"), hint)
        if seats.isdecimal() and int(seats)
    }


def _read_quarantine(path: Path | None) -> set[int]:
    """Numbers of the lines that the first half left out; the file is there only if it left any."""
    if path is None or not path.exists():
        return set()
    hint = "give the demo's quarantine.csv, or leave --quarantine out"
    return {
        int(number) if number.isdecimal() else 0
        for (number,) in _read_table(path, "lost lines", ("line",), hint)
    }


def _read_table(
    path: Path, what: str, columns: tuple[str, ...], hint: str
) -> Iterator[tuple[str, ...]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            for name in columns:
                if name not in (reader.fieldnames or ()):
                    raise ValueError(f"it has no column {name}")
            for row in reader:
                yield tuple(row[name] or "" for name in columns)
    except (ValueError, csv.Error, OSError) as error:
        why = f"cannot be read as a file of {what}: {error}"
        raise Unreadable(path, why, hint) from None
