"""Lines of a flights file to numpy blocks; a line that cannot be parsed is reported and left out.

Speed comes from working on columns: a block of lines is split as one text, a column is every
n-th field, and each column is converted by one C-level `map` over a dictionary that remembers the
texts it has seen. Only when a block does not convert as a whole is it gone through line by line,
to find which one is at fault.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from .batches import COLUMNS, INTEGERS, MISSING, RECORD, TEXTS, Batch
from .failures import DemoError

__all__ = ("BadLine", "Parser")

# Seen texts per dictionary: the year has 1,650 different integers and 6,936 hours.
_REMEMBERED = 65_536

_HEADER = f"its header must name {','.join(COLUMNS)}"

BadLine = Callable[[int, str, str], None]


class _Integers(dict[str, int]):
    """Text → integer, NA → MISSING; a ValueError for anything else."""

    def __missing__(self, text: str) -> int:
        if text == "NA":
            value = MISSING
        # int() would also take blanks, underscores and other scripts' digits.
        elif text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 10:
            value = int(text)
        else:
            raise ValueError(f"{text!r} is not an integer")
        if len(self) < _REMEMBERED:
            self[text] = value
        return value


class _Moments(dict[str, int]):
    """ISO date and time → seconds since 1970; UTC unless the text says otherwise."""

    def __missing__(self, text: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a date and time") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        value = int(moment.timestamp())
        if len(self) < _REMEMBERED:
            self[text] = value
        return value


class Parser:
    """Turns lists of lines, in order and from the header on, into blocks of records.

    `bad_line(number, reason, text)` is called for each line that cannot be parsed. `source` names
    the file in errors. One parser belongs to one run and one task.

    Raises `DemoError` when the header lacks a column.
    """

    def __init__(self, source: str, bad_line: BadLine) -> None:
        self._source = source
        self._bad_line = bad_line
        self._width = 0  # fields of a line; 0 until the header was read
        self._place: dict[str, int] = {}
        self._integers = _Integers()
        self._moments = _Moments()
        self._given = 0
        self._lost: list[int] = []
        self.bad = 0

    def parse(self, lines: Sequence[str]) -> Batch:
        """The good ones of the next lines as records; the header is none of them."""
        first = self._given + 1
        self._given += len(lines)
        if lines and not self._width:
            self._read_header(lines[0])
            lines, first = lines[1:], first + 1
        try:
            return self._convert(self._fields(lines), len(lines))
        except ValueError:
            good = self._sift(lines, first)
            return self._convert([field for row in good for field in row], len(good))

    @property
    def lines(self) -> int:
        """Lines of the file so far."""
        return self._given + len(self._lost)

    def lose(self, number: int, reason: str, text: str) -> None:
        """Report a line that could not even be read; those after it keep their numbers.

        May be called before the lines in front of it were given. `DemoError` for the header.
        """
        if number == 1:
            raise DemoError(self._source, f"its first line cannot be read: {reason}", _HEADER)
        self._lost.append(number)
        self._report(number, reason, text)

    def _report(self, number: int, reason: str, text: str) -> None:
        self.bad += 1
        self._bad_line(number, reason, text)

    def _number(self, given: int) -> int:
        for lost in self._lost:
            given += lost <= given
        return given

    def _read_header(self, line: str) -> None:
        names = [name.strip() for name in _split(line.removeprefix("\ufeff").rstrip("\r"))]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            everything = len(missing) == len(COLUMNS)
            raise DemoError(
                self._source,
                "its first line is not the header of a flights file"
                if everything
                else f"has no column {', '.join(missing)}",
                _HEADER
                if everything
                # What is there instead often shows a typing error at a glance.
                else f"its header names {','.join(names)}",
            )
        self._width = len(names)
        self._place = {name: names.index(name) for name in COLUMNS}

    def _fields(self, lines: Sequence[str]) -> list[str]:
        """All fields of all lines in one list: a list per line would cost as much again."""
        commas = self._width - 1
        if any(line.count(",") != commas for line in lines):
            raise ValueError("the lines differ in their number of fields")
        text = ",".join(lines)
        if "\r" in text:
            text = ",".join(line.rstrip("\r") for line in lines)
        if '"' in text:
            raise ValueError("quoted fields are split one line at a time")
        return text.split(",") if lines else []

    def _convert(self, fields: Sequence[str], rows: int) -> Batch:
        if len(fields) != rows * self._width:
            raise ValueError(f"{len(fields)} fields, not {rows * self._width}")
        block: Batch = np.zeros(rows, RECORD)
        if not rows:
            return block
        for name, (least, greatest, optional) in INTEGERS.items():
            texts = fields[self._place[name] :: self._width]
            values = np.fromiter(map(self._integers.__getitem__, texts), np.int64, rows)
            fits = (values >= least) & (values <= greatest)
            if optional:
                fits |= values == MISSING
            if not fits.all():
                where = int(np.argmin(fits))
                raise ValueError(f"{name} is {texts[where]}, not {least} to {greatest}")
            block[name] = values
        for name, most in TEXTS.items():
            texts = fields[self._place[name] :: self._width]
            try:
                codes = np.array(texts, dtype=np.bytes_)
            except UnicodeEncodeError as error:
                raise ValueError(f"{name} is {error.object!r}, not ASCII") from None
            if codes.itemsize > most:
                raise ValueError(f"{name} is longer than {most} characters")
            block[name] = codes
        texts = fields[self._place["time_hour"] :: self._width]
        block["time_hour"] = np.fromiter(map(self._moments.__getitem__, texts), np.int64, rows)
        return block

    def _sift(self, lines: Sequence[str], first: int) -> list[list[str]]:
        good = []
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            try:
                row = _split(line.rstrip("\r"))
                self._convert(row, 1)
            except ValueError as error:
                self._report(self._number(number), str(error), line)
            else:
                good.append(row)
        return good


def _split(line: str) -> list[str]:
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"bad quotes: {error}") from None
