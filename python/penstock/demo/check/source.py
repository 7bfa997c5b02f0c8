"""Files as a run finds and leaves them: lines of flights, planes, and lines that were left out.

Everything is read a line at a time, with the csv module where a field may be quoted.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = ("Route", "Row", "Unreadable", "read_planes", "read_quarantine", "read_rows")

Route: TypeAlias = tuple[str, str]

_MAGIC_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MAGIC_GZIP = b"\x1f\x8b"
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Unreadable(Exception):
    """A file that the check cannot read: its message is one line that names file and remedy."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(" ".join(f"ledger check: {path}: {why} hint: {hint}".split()))


class Row(NamedTuple):
    """A line of the file; `day` and `name` make the flight's key, `moment` is in local minutes."""

    line: int
    day: str
    moment: int
    name: str
    route: Route
    departed: str
    tail: str
    miles: int

    @property
    def key(self) -> str:
        return f"{self.day}-{self.name}"

    @property
    def is_cancelled(self) -> bool:
        return self.departed == "NA"


def read_rows(
    path: Path, *, left_out: Container[int] = (), only: Container[int] | None = None
) -> Iterator[Row]:
    """The flights of a file, all or those on the lines `only`. Raises `Unreadable`."""
    days: dict[tuple[str, ...], tuple[str, int]] = {}
    names: dict[tuple[str, ...], tuple[str, Route]] = {}
    number = 1
    try:
        with _content(path) as lines:
            head = _fields(next(lines, b"").removeprefix(b"\xef\xbb\xbf"))
            pick = _picker(path, [name.strip() for name in head])
            of_day = pick("year", "month", "day")
            of_name = pick("carrier", "flight", "origin", "dest")
            of_flight = pick("hour", "minute", "dep_time", "tailnum", "distance")
            for number, line in enumerate(lines, 2):
                if number in left_out or (only is not None and number not in only):
                    continue
                if line.isspace():
                    continue
                fields = _fields(line)
                if len(fields) != len(head):
                    raise ValueError(f"it has {len(fields)} fields, not {len(head)}")
                day = of_day(fields)
                if (date_ := days.get(day)) is None:
                    date_ = days[day] = _date(*map(int, day))
                name = of_name(fields)
                if (names_ := names.get(name)) is None:
                    names_ = names[name] = _name(*name)
                hour, minute, departed, tail, miles = of_flight(fields)
                moment = date_[1] + 60 * int(hour) + int(minute)
                yield Row(number, date_[0], moment, *names_, departed, tail, int(miles))
    except (ValueError, csv.Error) as error:
        raise Unreadable(
            path,
            f"line {number:,} is no flight, and the quarantine does not name it: {error}",
            "name the quarantine file of the same run with --quarantine",
        ) from None
    except _BROKEN as error:
        raise Unreadable(path, f"cannot be read: {error}", "fetch or write it again") from None


def _date(year: int, month: int, day: int) -> tuple[str, int]:
    """The day as in a key, and its midnight in minutes; the 30th of February comes in March."""
    midnight = date(year, month, 1).toordinal() + day - 1
    return f"{year:04}-{month:02}-{day:02}", midnight * 24 * 60


def _name(carrier: str, flight: str, origin: str, dest: str) -> tuple[str, Route]:
    return f"{carrier}{int(flight)}-{origin}", (origin, dest)


def _fields(line: bytes) -> list[str]:
    text = line.rstrip(b"\r\n").decode()
    return next(csv.reader([text], strict=True)) if '"' in text else text.split(",")


def _picker(path: Path, head: list[str]) -> Callable[..., Callable[[list[str]], tuple[str, ...]]]:
    """Gives functions that take columns, two or more, out of a line's fields."""

    def pick(*columns: str) -> Callable[[list[str]], tuple[str, ...]]:
        missing = [name for name in columns if name not in head]
        if missing:
            raise Unreadable(
                path,
                f"has no column {', '.join(missing)}",
                "give the file of flights that the demo worked through",
            )
        return itemgetter(*map(head.index, columns))

    return pick


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


def read_planes(path: Path) -> dict[str, int]:
    """Tail number → seats, of the planes whose seats are known."""
    hint = "give a csv with the columns tailnum and seats"
    return {
        tail: int(seats)
        for tail, seats in _read_table(path, "planes", ("tailnum", "seats"), hint)
        if seats.isdecimal() and int(seats)
    }


def read_quarantine(path: Path | None) -> set[int]:
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
