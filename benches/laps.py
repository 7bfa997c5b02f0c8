"""Times the contenders of one case: first all prove their answer, then they alternate.

A round is one lap of each contender in turn (A B C, A B C, ...), so that whatever slows the
machine for a second slows all of them. Each contender has its own number of operations, found so
that a lap takes about `LAP` seconds whatever its speed; figures are per operation.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil

from benches.case import Case, Contender, Lap, Work
from benches.refusal import WrongAnswer

LAP = 0.2  # seconds: long beside a thread's start and the scheduler's ticks


@dataclass(frozen=True, slots=True)
class Series:
    """What the rounds gave for one contender: operations per lap, and each figure by round."""

    contender: Contender
    operations: int
    values: dict[str, list[float]]


def race(
    case: Case, rounds: int, lap: float = LAP, *, told: Callable[[str], None] = lambda _: None
) -> list[Series]:
    """Open every contender, check every answer, then time; a wrong answer ends it unmeasured."""
    with ExitStack() as stack:
        works = [stack.enter_context(contender.open()) for contender in case.contenders]
        entrants = list(zip(case.contenders, works, strict=True))
        for contender, work in entrants:
            _proven(case, contender, work, case.least)
        sizes = [_size(case, contender, work, lap) for contender, work in entrants]
        all_series = [
            Series(contender, n, {figure.name: [] for figure in case.figures})
            for contender, n in zip(case.contenders, sizes, strict=True)
        ]
        for number in range(rounds):
            told(f"{case.row}: round {number + 1} of {rounds}")
            for series, work in zip(all_series, works, strict=True):
                # What the last contender left must not be collected in this one's time.
                gc.collect()
                done = _proven(case, series.contender, work, series.operations)
                for figure in case.figures:
                    series.values[figure.name].append(figure.of(done, series.operations))
        return all_series


def _proven(case: Case, contender: Contender, work: Work, n: int) -> Lap:
    lap = work(n)
    if not case.is_right(n, lap.answer):
        answer = repr(lap.answer)
        raise WrongAnswer(
            f"{contender.name} gave a wrong answer in {case.row} for {n} operations: "
            f"{answer if len(answer) <= 200 else answer[:200] + '...'}"
        )
    return lap


def _size(case: Case, contender: Contender, work: Work, seconds: float) -> int:
    """Operations for a lap of the given length; the search is the warm-up as well."""
    n = case.least
    while True:
        took = max(_proven(case, contender, work, n).nanoseconds, 1) / 1e9
        wanted = ceil(n * seconds / took / case.least) * case.least
        # A short lap overstates the cost, so one that came near is measured once more.
        if took >= seconds / 2:
            return max(wanted, case.least)
        n = max(2 * n, min(wanted, 16 * n))
