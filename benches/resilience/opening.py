"""How long it takes from the failure that opens a shared breaker until every process is refused.

Seven processes make a call each millisecond, as workers do, and note when they are refused first;
an eighth lets calls fail until the breaker opens. All are woken by their own sleep, so half of a
millisecond is what the pace alone makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic_ns, perf_counter_ns, sleep
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, longest, percentile
from benches.resilience.calls import THRESHOLD, answer
from benches.shared.beside import SPAWN, beside

PROCESSES = 8
PACE = 0.001  # seconds between two calls of one process
PATIENCE = 5.0  # seconds after which a process says that it was never refused


def policy(name: str) -> Any:
    from penstock import CircuitBreaker, Policy

    # In a row they would not be: the other processes succeed in between.
    breaker = CircuitBreaker(failure_threshold=THRESHOLD, window="time", size=10.0, scope="machine")
    return Policy(name, breaker)


def unavailable() -> None:
    raise ConnectionError("down")


@contextmanager
def worker(name: str) -> Iterator[Callable[[Any], int]]:
    """Calls until it is refused; the moment at which it was, 0 if it was not."""
    from penstock.resilience import CircuitOpen

    call = policy(name)(answer)

    def lap(_: Any) -> int:
        end = monotonic_ns() + PATIENCE * 1e9
        while monotonic_ns() < end:
            try:
                call()
            except CircuitOpen:
                return monotonic_ns()
            sleep(PACE)
        return 0

    yield lap


@contextmanager
def opened() -> Iterator[Work]:
    """An operation is one opening; a sample is what one process needed to see it."""
    name = f"bench-opening-{os.getpid()}-{perf_counter_ns()}"
    made = policy(name)
    fail = made(unavailable)
    with ExitStack() as stack:
        others = [stack.enter_context(beside(worker, name)) for _ in range(PROCESSES - 1)]

        def once() -> list[int]:
            made.circuit.reset()
            for other in others:
                other.begin(1)
            sleep(20 * PACE)  # all are at it
            for _ in range(THRESHOLD):
                begun = monotonic_ns()
                try:
                    fail()
                except ConnectionError:
                    continue
            return [other.end() - begun for other in others]

        yield partial(sampled, once)


@contextmanager
def looker(event: Any) -> Iterator[Callable[[Any], int]]:
    """Looks each millisecond whether the event is set; the moment at which it was."""

    def lap(_: Any) -> int:
        end = monotonic_ns() + PATIENCE * 1e9
        while monotonic_ns() < end:
            if event.is_set():
                return monotonic_ns()
            sleep(PACE)
        return 0

    yield lap


@contextmanager
def set_by_hand() -> Iterator[Work]:
    event = SPAWN.Event()
    with ExitStack() as stack:
        others = [stack.enter_context(beside(looker, event)) for _ in range(PROCESSES - 1)]

        def once() -> list[int]:
            event.clear()
            for other in others:
                other.begin(1)
            sleep(20 * PACE)
            begun = monotonic_ns()
            event.set()
            return [other.end() - begun for other in others]

        yield partial(sampled, once)


def sampled(once: Callable[[], list[int]], n: int) -> Lap:
    started = perf_counter_ns()
    samples = [sample for _ in range(n) for sample in once()]
    return Lap.since(started, samples, samples)


CASES = (
    Case(
        room="resilience",
        name="opening-8-processes",
        question="How long after the last failure that a breaker puts up with are all of eight "
        "processes refused?",
        contenders=[
            Contender(
                "penstock",
                f'`CircuitBreaker(failure_threshold={THRESHOLD}, window="time", scope="machine")`; '
                "a call each millisecond in each process",
                opened,
                "penstock",
            ),
            Contender(
                "multiprocessing.Event",
                "floor: set once, looked at each millisecond in each process",
                set_by_hand,
            ),
        ],
        is_right=lambda n, answer: len(answer) == 7 * n and all(each > 0 for each in answer),
        figures=[percentile(50), percentile(99), longest()],
        targets=[Target(10e-3, figure="longest")],
        least=10,
    ),
)
