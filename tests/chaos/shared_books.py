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

BEGINS, HAS_PUT, ASKS, TOOK, DONE, ACKED, SETTLED = b"b", b"p", b"a", b"t", b"d", b"k", b"s"

MOST_AT_ONCE = 20
"""Items of one call."""

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

    def acked(self, taker: int, name: Name) -> None:
        """Of what it took under a lease, this is dealt with."""
        self.write(Note(ACKED, taker, *name))

    def settled(self, taker: int, name: Name) -> None:
        """This was given back, or is with somebody else by now."""
        self.write(Note(SETTLED, taker, *name))

    def close(self) -> None:
        os.close(self.file)


class Books:
    """All of a round, read when it is over."""

    def __init__(self, folder: Path, *, has_leases: bool = False) -> None:
        self.folder = folder
        self.has_leases = has_leases
        self.paths: list[Path] = []
        self.dropped = False
        """Whether the queue was told to forget what was inside."""
        self.disturbed = 0
        """How many takers were killed or stopped."""

    def path(self) -> Path:
        """A new one."""
        path = self.folder / str(len(self.paths))
        path.touch()
        self.paths.append(path)
        return path

    def check(self, where: str) -> int:
        """The number of items put and taken by those who lived to tell. Raises AssertionError."""
        pages = [page for path in self.paths for page in _pages(path)]
        put = {name for page in pages for name in page.put}
        perhaps = {name for page in pages for name in page.perhaps}
        taken = [name for page in pages for name in page.taken]
        came = set(taken)
        invented = sorted(came - put - perhaps)
        assert not invented, f"{where}: refused or never put, and yet taken: {invented[:5]}"
        if self.has_leases:
            self._check_leases(where, pages, put)
        else:
            doubled = _doubled(taken)
            assert not doubled, f"{where}: taken twice: {doubled[:5]}"
            for page in pages:
                page.check_order(where)
            lost = sorted(put - came)
            in_hand = sum(page.in_hand for page in pages)
            assert self.dropped or len(lost) <= in_hand, (
                f"{where}: {len(lost)} of {len(put)} were lost, and the dead may have had "
                f"{in_hand}: {lost[:5]}"
            )
        return len(put) + len(taken)

    def _check_leases(self, where: str, pages: list[Page], put: set[Name]) -> None:
        """What a dead one had comes again, so nothing is lost.

        Whoever dies in the middle of a take, or is stopped there for longer than a lease, may leave
        its items in the lane and under its lease, so two can get them; nobody else's come twice.
        """
        acked = [name for page in pages for name in page.acked]
        doubled = _doubled(acked)
        assert len(doubled) <= MOST_AT_ONCE * self.disturbed, (
            f"{where}: acknowledged twice: {doubled[:5]}"
        )
        open_ = {name for page in pages for name in page.open}
        lost = sorted(put - set(acked) - open_)
        assert self.dropped or not lost, (
            f"{where}: {len(lost)} of {len(put)} were lost, and no dead one had them: {lost[:5]}"
        )


class Page:
    """The notes of one thread or task."""

    def __init__(self, who: int, notes: list[Note]) -> None:
        self.who = who
        self.put: set[Name] = set()
        """What went in for sure."""
        self.perhaps: set[Name] = set()
        """What a kill came between; it may be inside or not."""
        self.taken: list[Name] = []
        self.in_hand = 0
        """How many items a kill may have come between."""
        self.acked: list[Name] = []
        self.open: set[Name] = set()
        """Under a lease, as far as it lived to tell."""
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
                self.open.add((note.producer, note.number))
            elif note.kind == DONE:
                self.in_hand = 0
            elif note.kind == ACKED:
                self.acked.append((note.producer, note.number))
                self.open.discard((note.producer, note.number))
            elif note.kind == SETTLED:
                self.open.discard((note.producer, note.number))

    def check_order(self, where: str) -> None:
        last: dict[int, int] = {}
        for producer, number in self.taken:
            before = last.get(producer, -1)
            assert number > before, (
                f"{where}: taker {self.who} had number {number} of producer {producer} after "
                f"{before}"
            )
            last[producer] = number


def _names(note: Note) -> Iterator[Name]:
    return ((note.producer, note.number + more) for more in range(note.count))


def _doubled(names: list[Name]) -> list[Name]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _pages(path: Path) -> list[Page]:
    by_hand: dict[int, list[Note]] = defaultdict(list)
    for note in _notes(path):
        by_hand[note.who].append(note)
    return [Page(who, notes) for who, notes in by_hand.items()]


def _notes(path: Path) -> Iterator[Note]:
    content = path.read_bytes()
    # A kill can come between two pages of the file, and so into a note.
    whole = len(content) - len(content) % _NOTE.size
    return (Note(*fields) for fields in _NOTE.iter_unpack(content[:whole]))
