"""What every contender of a saga row leaves of a lap: results, times of steps, rows in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter_ns
from typing import NamedTuple

from benches.case import Lap


class Done(NamedTuple):
    """The answer of a lap."""

    results: list[list[int]]
    """Of each saga, the results of its steps."""
    committed: int
    """Ends of steps that the lap has added to the file, read from it by another connection."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How long the sagas are, and how many of them are under way at any time."""

    steps: int
    at_once: int

    def sagas(self, operations: int) -> int:
        """An operation is a step, and a lap is made of whole sagas."""
        return operations // self.steps

    def is_right(self, operations: int, answer: Done) -> bool:
        wanted = [
            [saga + step for step in range(self.steps)] for saga in range(self.sagas(operations))
        ]
        return answer == (wanted, operations)


class Journal:
    """When each step of a lap began, and each saga's end; the same few calls for every contender.

    A step's time lasts until the next one begins, or until its saga's caller has the outcome: its
    commit lies between.
    """

    def __init__(self, sagas: int) -> None:
        self._stamps: list[list[int]] = [[] for _ in range(sagas)]
        self._results: list[list[int]] = [[] for _ in range(sagas)]
        self._started = perf_counter_ns()

    def begin(self, saga: int) -> None:
        self._stamps[saga].append(perf_counter_ns())

    def end(self, saga: int, results: Sequence[int]) -> None:
        self._stamps[saga].append(perf_counter_ns())
        self._results[saga].extend(results)

    def lap(self, committed: Callable[[], int]) -> Lap:
        """The timed part ends before `committed` is called, which looks into the file."""
        took = perf_counter_ns() - self._started
        samples = [after - before for stamps in self._stamps for before, after in pairwise(stamps)]
        return Lap(Done(self._results, committed()), took, samples)
