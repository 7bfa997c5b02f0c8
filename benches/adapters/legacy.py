"""What a translation of requests, responses and errors costs in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.refusal import WrongAnswer


class OldError(Exception):
    pass


class NewError(Exception):
    pass


def old(request: dict[str, int]) -> str:
    if request["N"] < 0:
        raise OldError(request)
    return str(request["N"])


def to_old(number: int) -> dict[str, int]:
    return {"N": number}


def penstock() -> Callable[[int], int]:
    from penstock import LegacyAdapter

    return LegacyAdapter(old, requests=to_old, responses=int, errors={OldError: NewError}).call


def by_hand() -> Callable[[int], int]:
    def call(number: int) -> int:
        try:
            answer = old(to_old(number))
        except OldError as error:
            raise NewError(str(error)) from error
        return int(answer)

    return call


@contextmanager
def translated(make: Callable[[], Callable[[int], int]]) -> Iterator[Work]:
    call = make()
    try:
        call(-1)
    except NewError:
        pass
    else:
        raise WrongAnswer("an old error did not come out as a new one")

    def work(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        for number in range(n):
            total += call(number)
        return Lap.since(started, total)

    yield work


def is_sum(n: int, total: Any) -> bool:
    return bool(total == n * (n - 1) // 2)


CASES = (
    Case(
        room="adapters",
        name="legacy-call",
        question="What does it cost to translate the request, response and errors of a call?",
        contenders=[
            Contender(
                "penstock", "`LegacyAdapter(...).call`", partial(translated, penstock), "penstock"
            ),
            Contender(
                "by hand", "floor: `try` around the same functions", partial(translated, by_hand)
            ),
        ],
        is_right=is_sum,
        figures=[cost()],
        targets=[Target(0.4, "by hand")],
    ),
)
