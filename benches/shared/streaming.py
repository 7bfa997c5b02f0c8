"""One process puts, this one takes, each as fast as it can; made once, used by every lap.

The last thousand items of a lap are kept and compared whole; of those before only what tells them
apart, as memory for all of them would cost this process more than the queue does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap, Work
from benches.shared.beside import beside
from benches.shared.peers import BATCH, Get, Way

WHOLE = 1000


@dataclass(frozen=True, slots=True)
class Items:
    """What is sent. Items are made as they are put: one sent again and again flatters pickle."""

    make: Callable[[int], Any]  # found by import, as the other process calls it
    mark: Callable[[Any], Any]  # what is kept of one

    def all_came(self, n: int, answer: Any) -> bool:
        marks, rest = answer
        first = max(0, n - WHOLE)
        return bool(
            marks == [self.mark(self.make(number)) for number in range(first)]
            and rest == [self.make(number) for number in range(first, n)]
        )


# --- who gives ------------------------------------------------------------------------------


@contextmanager
def giving(put: Any, made: Any, item: Callable[[int], Any]) -> Iterator[Callable[[int], None]]:
    with put(made) as give:

        def lap(n: int) -> None:
            for number in range(n):
                give(item(number))

        yield lap


@contextmanager
def giving_lists(put: Any, made: Any, item: Any) -> Iterator[Callable[[int], None]]:
    with put(made) as give:

        def lap(n: int) -> None:
            for start in range(0, n, BATCH):
                give([item(number) for number in range(start, min(start + BATCH, n))])

        yield lap


@contextmanager
def giving_iterable(put: Any, made: Any, item: Any) -> Iterator[Callable[[int], None]]:
    """For a queue that makes lists of its own."""
    with put(made) as give:
        yield lambda n: give(map(item, range(n)))


# --- who takes ------------------------------------------------------------------------------

Take = Callable[[Get, Callable[[Any], Any], int], tuple[list[Any], list[Any]]]


def each(get: Get, mark: Callable[[Any], Any], n: int) -> tuple[list[Any], list[Any]]:
    whole = min(WHOLE, n)
    return [mark(get()) for _ in range(n - whole)], [get() for _ in range(whole)]


def lists(get: Get, mark: Callable[[Any], Any], n: int) -> tuple[list[Any], list[Any]]:
    marks: list[Any] = []
    while n - len(marks) >= WHOLE + BATCH:
        marks += map(mark, get())
    rest: list[Any] = []
    while len(marks) + len(rest) < n:
        rest += get()
    early = len(rest) - min(WHOLE, n)
    return marks + [mark(item) for item in rest[:early]], rest[early:]


@contextmanager
def streamed(way: Way, role: Any, take: Take, items: Items) -> Iterator[Work]:
    with way.make() as made, way.get(made) as get, beside(role, way.put, made, items.make) as other:

        def work(n: int) -> Lap:
            started = perf_counter_ns()
            other.begin(n)
            lap = Lap.since(started, take(get, items.mark, n))
            other.end()
            return lap

        yield work


def streaming(way: Way, items: Items, role: Any = giving, take: Take = each) -> Contender:
    return Contender(way.name, way.settings, partial(streamed, way, role, take, items), way.package)
