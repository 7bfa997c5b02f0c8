"""What a whole policy adds to an awaited call: timeout, breaker, retry and bulkhead."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from benches.case import Case, Target, cost
from benches.resilience.calls import (
    THRESHOLD,
    all_answered,
    awaited,
    bare,
    contender,
    repeats_and_opens,
)

ATTEMPTS = 3
SECONDS = 5.0
PLACES = 64


def penstock(fn: Any) -> Any:
    from penstock import Bulkhead, CircuitBreaker, Policy, Retry, Timeout

    return Policy(
        "bench",
        Bulkhead(PLACES),
        Retry(attempts=ATTEMPTS, delay=0.0),
        CircuitBreaker(failure_threshold=THRESHOLD),
        Timeout(SECONDS),
    )(fn)


def nopanic(fn: Any) -> Any:
    from nopanic import bulkhead, circuit_breaker, compose, retry, timeout

    return compose(
        bulkhead(PLACES),
        retry(ATTEMPTS, backoff=0.0, honor_retry_after=False),
        circuit_breaker(min_calls=THRESHOLD),
        timeout(SECONDS),
    )(fn)


def hyx(fn: Any) -> Any:
    from hyx.bulkhead import bulkhead
    from hyx.circuitbreaker import consecutive_breaker
    from hyx.retry import retry
    from hyx.timeout import timeout

    limited = timeout(SECONDS)(fn)
    broken = consecutive_breaker(failure_threshold=THRESHOLD, recovery_time_secs=60)(limited)
    return bulkhead(PLACES, PLACES)(retry(on=Exception, attempts=ATTEMPTS, backoff=0)(broken))


def interlock(fn: Any) -> Any:
    from interlock import CircuitBreaker, Config, PipelineBuilder
    from tenacity import wait_none

    breaker = CircuitBreaker(
        name="bench", config=Config(minimum_number_of_calls=THRESHOLD, window_size=THRESHOLD)
    )
    built = PipelineBuilder().bulkhead(PLACES).retry(attempts=ATTEMPTS, wait=wait_none())
    return built.circuit_breaker(breaker).timeout(SECONDS).build()(fn)


def pyresilience(fn: Any) -> Any:
    from pyresilience import (
        BulkheadConfig,
        CircuitBreakerConfig,
        RetryConfig,
        TimeoutConfig,
        resilient,
    )

    return resilient(
        retry=RetryConfig(max_attempts=ATTEMPTS, delay=0, jitter=False),
        timeout=TimeoutConfig(SECONDS),
        circuit_breaker=CircuitBreakerConfig(failure_threshold=THRESHOLD),
        bulkhead=BulkheadConfig(PLACES),
    )(fn)


def stacked(fn: Any) -> Any:
    from circuitbreaker import CircuitBreaker
    from stamina import instrumentation, retry

    instrumentation.set_on_retry_hooks([])  # the default one logs

    places = asyncio.Semaphore(PLACES)

    async def limited() -> Any:
        async with asyncio.timeout(SECONDS):
            return await fn()

    breaker = CircuitBreaker(failure_threshold=THRESHOLD, recovery_timeout=60)
    tried = retry(on=Exception, attempts=ATTEMPTS, wait_initial=0, wait_max=0, wait_jitter=0)(
        breaker(limited)
    )

    async def call() -> Any:
        async with places:
            return await tried()

    return call


made = partial(contender, awaited, repeats_and_opens)

CASES = (
    Case(
        room="resilience",
        name="policy",
        question="What does an awaited call cost under bulkhead, retry, breaker and timeout?",
        contenders=[
            made("penstock", "one `Policy` of the four", penstock),
            made("nopanic", "`compose` of the four; its breaker has a window", nopanic),
            made("hyx", "four decorators", hyx),
            made("interlock", "a `Pipeline` of the four", interlock, "interlock-cb"),
            made("pyresilience", "`resilient` with the four", pyresilience),
            made(
                "stamina and others",
                "stamina, circuitbreaker, `asyncio.timeout` and `asyncio.Semaphore`, by hand",
                stacked,
                "stamina",
            ),
            bare(awaited),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[
            Target(1.2e-6),
            Target(7, "nopanic"),
            Target(15, "hyx"),
            Target(15, "interlock"),
            Target(15, "stamina and others"),
        ],
        shared=("circuitbreaker",),
    ),
)
