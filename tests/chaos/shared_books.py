"""What processes write down of their puts and takes, where no kill can undo it.

Each has a file of its own and adds to it with one system call a note, before a call on the queue
what it is about to do, after it what has come of it. So of a process that was killed it is known
what it may have had in its hands, and of the others everything.
"""

from __future__ import annotations

import os
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

BEGINS, HAS_PUT, ASKS, TOOK, DONE = b"b", b"p", b"a", b"t", b"d"

_NOTE = struct.Struct("<cIIII")

Name = tuple[int, int]
"""Of an item: its producer and its number."""


class Note(NamedTuple):
    kind: bytes
    who: int
    producer: int = 0
    number: int = 0
    count: int = 0


class Book:
    """The hand that writes. One process, any of its threads."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *notes: Note) -> None:
        os.write(self.file, b"".join(_NOTE.pack(*note) for note in notes))

    def begins(self, producer: int, number: int, count: int) -> None:
        self.write(Note(BEGINS, producer, producer, number, count))

    def has_put(self, producer: int, number: int, count: int) -> None:
        """What was begun is over; so many went in, the rest was refused."""
        self.write(Note(HAS_PUT, producer, producer, number, count))

    def asks(self, taker: int, most: int) -> None:
        self.write(Note(ASKS, taker, count=most))

    def took(self, taker: int, items: Iterable[Name]) -> None:
        """What was asked for is over; these came."""
        came = [Note(TOOK, taker, producer, number) for producer, number in items]
        self.write(*came, Note(DONE, taker))

    def close(self) -> None:
        os.close(self.file)


class Books:
    """All of a round, read when it is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self.dropped = False
        """Whether the queue was told to forget what was inside."""

    def path(self) -> Path:
        """A new one."""
        path = self.folder / str(len(self.paths))
        path.touch()
        self.paths.append(path)
        return path

    def check(self, where: str) -> int:
        """The number of items put and taken by those who lived to tell. Raises AssertionError."""
        put: set[Name] = set()
        perhaps: set[Name] = set()
        taken: list[Name] = []
        in_hand = 0
        for path in self.paths:
            pages: dict[int, list[Note]] = defaultdict(list)
            for note in _notes(path):
                pages[note.who].append(note)
            for who, notes in pages.items():
                page = Page(notes)
                put |= page.put
                perhaps |= page.perhaps
                taken += page.taken
                in_hand += page.in_hand
                page.check_order(f"{where}: taker {who}")
        doubled = [name for name, count in Counter(taken).items() if count > 1]
        assert not doubled, f"{where}: taken twice: {sorted(doubled)[:5]}"
        came = set(taken)
        invented = sorted(came - put - perhaps)
        assert not invented, f"{where}: refused or never put, and yet taken: {invented[:5]}"
        lost = sorted(put - came)
        assert self.dropped or len(lost) <= in_hand, (
            f"{where}: {len(lost)} of {len(put)} were lost, and the dead may have had {in_hand}: "
            f"{lost[:5]}"
        )
        return len(put) + len(taken)


class Page:
    """The notes of one thread or task."""

    def __init__(self, notes: list[Note]) -> None:
        self.put: set[Name] = set()
        """What went in for sure."""
        self.perhaps: set[Name] = set()
        """What a kill came between; it may be inside or not."""
        self.taken: list[Name] = []
        self.in_hand = 0
        """How many items a kill may have come between."""
        for note in notes:
            if note.kind == BEGINS:
                self.perhaps = set(_names(note))
            elif note.kind == HAS_PUT:
                self.perhaps = set()
                self.put.update(_names(note))
            elif note.kind == ASKS:
                self.in_hand = note.count
            elif note.kind == TOOK:
                self.in_hand -= 1
                self.taken.append((note.producer, note.number))
            elif note.kind == DONE:
                self.in_hand = 0

    def check_order(self, where: str) -> None:
        last: dict[int, int] = {}
        for producer, number in self.taken:
            before = last.get(producer, -1)
            assert number > before, (
                f"{where} had number {number} of producer {producer} after {before}"
            )
            last[producer] = number


def _names(note: Note) -> Iterator[Name]:
    return ((note.producer, note.number + more) for more in range(note.count))


def _notes(path: Path) -> Iterator[Note]:
    content = path.read_bytes()
    # A kill can come between two pages of the file, and so into a note.
    whole = len(content) - len(content) % _NOTE.size
    return (Note(*fields) for fields in _NOTE.iter_unpack(content[:whole]))
