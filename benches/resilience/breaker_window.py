"""What a breaker costs that looks at a window and at slow calls, and that a machine shares.

In processor time: with eight processes on two cores, the other seven's turns are nobody's cost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.loops import kept
from benches.resilience.calls import (
    THRESHOLD,
    all_answered,
    answer_later,
    awaited,
    contender,
    opens,
)
from benches.shared.beside import beside

PROCESSES = 8


def penstock(fn: Any, name: str = "") -> Any:
    from penstock import CircuitBreaker, Policy

    breaker = CircuitBreaker(
        failure_threshold=None,
        failure_rate=0.5,
        slow_rate=0.5,
        slow_after=1.0,
        min_calls=THRESHOLD,
        window="time",
        size=10.0,
        scope="machine" if name else "process",
    )
    return Policy(name or "bench", breaker)(fn)


def penstock_shared(fn: Any) -> Any:
    # Each wrap has a state of its own, and so a name of its own on the machine.
    return penstock(fn, f"bench-window-{os.getpid()}-{id(fn)}")


def nopanic(fn: Any) -> Any:
    from nopanic import circuit_breaker

    return circuit_breaker(
        failure_threshold=0.5, min_calls=THRESHOLD, window=10.0, slow_call_duration=1.0
    )(fn)


def interlock(fn: Any) -> Any:
    from interlock import CircuitBreaker, Config, WindowType

    config = Config(
        minimum_number_of_calls=THRESHOLD,
        window_type=WindowType.TIME_BASED,
        window_size=10,
        slow_call_duration_threshold=1.0,
        slow_call_rate_threshold=0.5,
    )
    return CircuitBreaker(name="bench", config=config)(fn)


@contextmanager
def awaited_cpu(wrap: Callable[[Any], Any], proof: Any) -> Iterator[Work]:
    """As `awaited`, in processor time of this process."""
    with awaited(wrap, proof) as calls:

        def work(n: int) -> Lap:
            started = process_time_ns()
            lap = calls(n)
            return Lap(lap.answer, process_time_ns() - started)

        yield work


@contextmanager
def sharer(name: str) -> Iterator[Callable[[int], tuple[int, int]]]:
    """One of several processes: n calls in a loop of its own; their answers, and their cost."""
    with kept("asyncio") as run:
        call = penstock(answer_later, name)

        async def lap(n: int) -> Lap:
            total = 0
            started = process_time_ns()
            for _ in range(n):
                total += await call()
            return Lap(total, process_time_ns() - started)

        def calls(n: int) -> tuple[int, int]:
            done = run(partial(lap, n))
            return done.answer, done.nanoseconds

        yield calls


@contextmanager
def shared_by(processes: int) -> Iterator[Work]:
    name = f"bench-window-{os.getpid()}-{perf_counter_ns()}"
    with ExitStack() as stack:
        others = [stack.enter_context(beside(sharer, name)) for _ in range(processes)]

        def work(n: int) -> Lap:
            for other in others:
                other.begin(n // processes)
            ended = [other.end() for other in others]
            return Lap(sum(total for total, _ in ended), sum(cpu for _, cpu in ended))

        yield work


SETTINGS = "half of the calls of 10 s failed, or slower than 1 s"
made = partial(contender, awaited_cpu, opens)

CASES = (
    Case(
        room="resilience",
        name="breaker-window",
        question="How much processor time does an awaited call take through a closed breaker with "
        "a window and slow calls?",
        contenders=[
            made("penstock", f'{SETTINGS}; scope="machine"', penstock_shared),
            made("penstock, one process's own", SETTINGS, penstock, "penstock"),
            made("nopanic", f"{SETTINGS}; one process's own", nopanic),
            made("interlock", f"{SETTINGS}; one process's own", interlock, "interlock-cb"),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(600e-9), Target(1, "nopanic"), Target(1, "interlock")],
    ),
    Case(
        room="resilience",
        name="breaker-window-8-processes",
        question="How much processor time does a call take when eight processes call through one "
        "breaker at once?",
        contenders=[
            Contender(
                "penstock, 8 processes",
                f'{SETTINGS}; scope="machine", one name',
                partial(shared_by, PROCESSES),
                "penstock",
            ),
            Contender(
                "penstock, 1 process",
                "the same, alone",
                partial(shared_by, 1),
                "penstock",
            ),
        ],
        is_right=all_answered,
        figures=[cost()],
        # To take twice as long is to be half as fast.
        targets=[Target(0.5, "penstock, 1 process"), Target(1.2e-6)],
        least=1000 * PROCESSES,
    ),
)
