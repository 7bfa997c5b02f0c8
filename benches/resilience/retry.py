"""What a retry adds to a call that succeeds at once, and what one repetition costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.resilience.calls import (
    Proof,
    Wrap,
    all_answered,
    awaited,
    bare,
    called,
    contender,
    repeats,
)

ATTEMPTS = 3


def penstock(fn: Any) -> Any:
    from penstock import Policy, Retry

    return Policy("bench", Retry(attempts=ATTEMPTS, delay=0.0))(fn)


def nopanic(fn: Any) -> Any:
    from nopanic import retry

    return retry(ATTEMPTS, backoff=0.0, honor_retry_after=False)(fn)


def backoff(fn: Any) -> Any:
    from backoff import constant, on_exception

    decorate = on_exception(constant, Exception, max_tries=ATTEMPTS, interval=0, jitter=None)
    return decorate(fn)


def tenacity(fn: Any) -> Any:
    from tenacity import retry, stop_after_attempt, wait_none

    return retry(stop=stop_after_attempt(ATTEMPTS), wait=wait_none())(fn)


def stamina(fn: Any) -> Any:
    from stamina import instrumentation, retry

    instrumentation.set_on_retry_hooks([])  # the default one logs

    return retry(on=Exception, attempts=ATTEMPTS, wait_initial=0, wait_max=0, wait_jitter=0)(fn)


def hyx(fn: Any) -> Any:
    from hyx.retry import retry

    return retry(on=Exception, attempts=ATTEMPTS, backoff=0)(fn)


def by_hand(fn: Any) -> Any:
    def call() -> Any:
        for attempt in range(ATTEMPTS):
            try:
                return fn()
            except Exception:
                if attempt == ATTEMPTS - 1:
                    raise
        return None

    return call


def contenders(kind: Callable[[Wrap, Proof], Any]) -> list[Contender]:
    made = partial(contender, kind, repeats)
    return [
        made("penstock", f"`Retry(attempts={ATTEMPTS}, delay=0.0)`", penstock),
        made("nopanic", f"`retry({ATTEMPTS}, backoff=0.0)`", nopanic),
        made("backoff", f"`on_exception(constant, interval=0, max_tries={ATTEMPTS})`", backoff),
        made("tenacity", f"`stop_after_attempt({ATTEMPTS})`, `wait_none()`", tenacity),
        made("stamina", f"`retry(attempts={ATTEMPTS})`, all waits 0", stamina),
    ]


@contextmanager
def failing_once(wrap: Wrap, proof: Proof) -> Iterator[Work]:
    """Each call fails once and then answers."""
    proof(wrap)
    fails = False

    def answer_second() -> int:
        nonlocal fails
        fails = not fails
        if fails:
            raise ConnectionError
        return 1

    call = wrap(answer_second)

    def work(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        for _ in range(n):
            total += call()
        return Lap.since(started, total)

    yield work


CASES = (
    Case(
        room="resilience",
        name="retry-sync",
        question="What does a call cost that might be repeated, and succeeds at once?",
        contenders=[*contenders(called), bare(called)],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(150e-9), Target(1, "nopanic"), Target(80, "tenacity")],
    ),
    Case(
        room="resilience",
        name="retry-async",
        question="What does an awaited call cost that might be repeated, and succeeds at once?",
        contenders=[
            *contenders(awaited),
            contender(awaited, repeats, "hyx", f"`retry(attempts={ATTEMPTS}, backoff=0)`", hyx),
            bare(awaited),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(250e-9), Target(1, "nopanic"), Target(80, "tenacity")],
    ),
    Case(
        room="resilience",
        name="retry-once",
        question="What does a call cost that fails once and is repeated without a pause?",
        contenders=[
            *contenders(failing_once),
            contender(
                failing_once,
                repeats,
                "a loop by hand",
                "floor: `for` and `try` around the call",
                by_hand,
                None,
            ),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(2e-6), Target(50, "tenacity")],
    ),
)
