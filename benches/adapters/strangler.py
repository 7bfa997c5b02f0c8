"""What a caller pays for a choice between two implementations, and for having both run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost, percentile
from benches.refusal import WrongAnswer

WAIT = 0.005  # seconds: a query

Made = tuple[Callable[[int], int], Callable[[], int]]
"""The call, and how many comparisons it has made by now."""


def answer(number: int) -> int:
    return number


def answer_too(number: int) -> int:
    return number


def query(number: int) -> int:
    time.sleep(WAIT)
    return number


def query_too(number: int) -> int:
    time.sleep(WAIT)
    return number


def bare(old: Any, _new: Any) -> Made:
    return old, lambda: 1


def switched(old: Any, new: Any) -> Made:
    from penstock import Strangler

    return Strangler("bench", old, new, share=0.0, key=lambda number: number), lambda: 1


def shared(old: Any, new: Any) -> Made:
    from penstock import Strangler

    return Strangler("bench", old, new, share=0.5, key=lambda number: number), lambda: 1


def compared(old: Any, new: Any) -> Made:
    from penstock import Strangler
    from penstock.adapters import Compare

    strangler = Strangler("bench", old, new, compare=Compare())

    def count() -> int:
        strangler.wait_settled()
        report = strangler.report()
        return report.compared.get("same", 0)

    return strangler, count


def laboratory(old: Any, new: Any) -> Made:
    from laboratory import Experiment

    same = 0

    class Counting(Experiment):  # type: ignore[misc]
        def publish(self, result: Any) -> None:
            nonlocal same
            same += result.match

    return Counting.decorator(new)(old), lambda: same


@contextmanager
def calls(make: Callable[[Any, Any], Made], old: Any, new: Any) -> Iterator[Work]:
    call, compared = make(old, new)
    call(7)
    if compared() != 1:
        raise WrongAnswer("one call was not compared once")

    def work(n: int) -> Lap:
        samples = []
        total = 0
        started = perf_counter_ns()
        for number in range(n):
            began = perf_counter_ns()
            total += call(number)
            samples.append(perf_counter_ns() - began)
        lap = Lap.since(started, total, samples)
        compared()  # so that nothing is left to run in the next one's time
        return lap

    yield work


def is_sum(n: int, total: Any) -> bool:
    return bool(total == n * (n - 1) // 2)


CASES = (
    Case(
        room="adapters",
        name="strangler",
        question="What does a call cost that may go to an old or to a new implementation?",
        contenders=[
            Contender(
                "penstock, all to the old",
                "`share=0.0`",
                partial(calls, switched, answer, answer_too),
                "penstock",
            ),
            Contender(
                "penstock, half by key",
                "`share=0.5, key=…`",
                partial(calls, shared, answer, answer_too),
                "penstock",
            ),
            Contender("bare call", "floor", partial(calls, bare, answer, answer_too)),
        ],
        is_right=is_sum,
        figures=[cost()],
        targets=[Target(2e-6)],
    ),
    Case(
        room="adapters",
        name="compare",
        question="What does the caller of a query of 5 ms notice of a second one that is compared?",
        contenders=[
            Contender(
                "penstock",
                "`Compare()`: in threads, after the answer",
                partial(calls, compared, query, query_too),
                "penstock",
            ),
            Contender(
                "bare call", "floor: the old one alone", partial(calls, bare, query, query_too)
            ),
            Contender(
                "laboratory",
                "`Experiment.decorator`: one after the other",
                partial(calls, laboratory, query, query_too),
                "laboratory",
            ),
        ],
        is_right=is_sum,
        figures=[percentile(50), percentile(99)],
        targets=[Target(1.8, "laboratory"), Target(0.9, "bare call", "p99")],
        least=100,
    ),
)
