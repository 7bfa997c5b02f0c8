"""What a breaker without a window adds to a call, and what a refusal costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Lap, Target, Work, cost
from benches.refusal import WrongAnswer
from benches.resilience.calls import (
    THRESHOLD,
    Proof,
    Wrap,
    all_answered,
    awaited,
    bare,
    called,
    contender,
    opens,
)


def penstock(fn: Any) -> Any:
    from penstock import CircuitBreaker, Policy

    return Policy("bench", CircuitBreaker(failure_threshold=THRESHOLD))(fn)


def circuitbreaker(fn: Any) -> Any:
    from circuitbreaker import CircuitBreaker

    return CircuitBreaker(failure_threshold=THRESHOLD, recovery_timeout=60)(fn)


def purgatory_sync(fn: Any) -> Any:
    from purgatory import SyncCircuitBreakerFactory

    return SyncCircuitBreakerFactory(default_threshold=THRESHOLD, default_ttl=60)("bench")(fn)


def purgatory_async(fn: Any) -> Any:
    from purgatory import AsyncCircuitBreakerFactory

    return AsyncCircuitBreakerFactory(default_threshold=THRESHOLD, default_ttl=60)("bench")(fn)


def pybreaker(fn: Any) -> Any:
    from pybreaker import CircuitBreaker

    return CircuitBreaker(fail_max=THRESHOLD, reset_timeout=60)(fn)


def aiobreaker(fn: Any) -> Any:
    from aiobreaker import CircuitBreaker

    return CircuitBreaker(fail_max=THRESHOLD)(fn)


def hyx(fn: Any) -> Any:
    from hyx.circuitbreaker import consecutive_breaker

    return consecutive_breaker(failure_threshold=THRESHOLD, recovery_time_secs=60)(fn)


def interlock(fn: Any) -> Any:
    from interlock import CircuitBreaker, Config

    breaker = CircuitBreaker(
        name="bench", config=Config(minimum_number_of_calls=THRESHOLD, window_size=THRESHOLD)
    )
    return breaker(fn)


@contextmanager
def refused(wrap: Wrap, proof: Proof) -> Iterator[Work]:
    """Calls of an open breaker; what it raises is caught by the class that it raised first."""
    proof(wrap)
    calls = 0

    def fails() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("always")

    call = wrap(fails)
    kind: type[Exception] = ConnectionError
    for _ in range(10 * THRESHOLD):
        try:
            call()
        except Exception as error:  # noqa: BLE001 - each library has its own
            kind = type(error)
    before = calls

    def work(n: int) -> Lap:
        count = 0
        started = perf_counter_ns()
        for _ in range(n):
            try:
                call()
            except kind:
                count += 1
        lap = Lap.since(started, count)
        if calls != before:
            raise WrongAnswer(f"an open breaker let {calls - before} calls through")
        return lap

    yield work


SETTINGS = f"opens after {THRESHOLD} failures in a row"
plain = partial(contender, called, opens)
later = partial(contender, awaited, opens)
closed = partial(contender, refused, opens)

CASES = (
    Case(
        room="resilience",
        name="breaker-sync",
        question="What does a call cost through a closed breaker that counts failures in a row?",
        contenders=[
            plain("penstock", f"`CircuitBreaker(failure_threshold={THRESHOLD})`", penstock),
            plain("circuitbreaker", SETTINGS, circuitbreaker),
            plain("purgatory", SETTINGS, purgatory_sync),
            plain("pybreaker", SETTINGS, pybreaker),
            bare(called),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(4, "circuitbreaker")],
    ),
    Case(
        room="resilience",
        name="breaker-async",
        question="What does an awaited call cost through a closed breaker that counts failures in "
        "a row?",
        contenders=[
            later("penstock", f"`CircuitBreaker(failure_threshold={THRESHOLD})`", penstock),
            later("circuitbreaker", SETTINGS, circuitbreaker),
            later("hyx", SETTINGS, hyx),
            later("purgatory", SETTINGS, purgatory_async),
            later("aiobreaker", SETTINGS, aiobreaker),
            bare(awaited),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(3, "circuitbreaker")],
    ),
    Case(
        room="resilience",
        name="breaker-refusal",
        question="What does a call cost that an open breaker refuses?",
        contenders=[
            closed("penstock", f"`CircuitBreaker(failure_threshold={THRESHOLD})`", penstock),
            closed("circuitbreaker", SETTINGS, circuitbreaker),
            closed("pybreaker", SETTINGS, pybreaker),
            closed("purgatory", SETTINGS, purgatory_sync),
            closed("interlock", "opens at half of 5 calls", interlock, "interlock-cb"),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(0.5e-6), Target(1, "circuitbreaker")],
    ),
)
