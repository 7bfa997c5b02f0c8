"""A breaker of several machines over Redis: what a call costs, and how soon the others open.

The machines are processes on this one, each with shared memory of its own; between them is a
redis-server on the loopback.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic_ns, perf_counter_ns, sleep
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost, longest, percentile
from benches.resilience.calls import THRESHOLD, all_answered, answer, bare, called, opens
from benches.resilience.redis_server import machine, redis_server
from benches.shared.beside import beside

LOOK = 0.0002  # seconds between two looks at the circuit of the other machine
PATIENCE = 5.0  # seconds after which the other machine says that it never opened

Wrapping = Callable[[str, str], Callable[[Any], Any]]


def _name() -> str:
    return f"bench-machines-{os.getpid()}-{perf_counter_ns()}"


def penstock(name: str, scope: str) -> Any:
    from penstock import CircuitBreaker, Policy

    return Policy(name, CircuitBreaker(failure_threshold=THRESHOLD, scope=scope))


def of_one_machine(name: str, _: str) -> Any:
    return penstock(name, "machine")


def interlock(name: str, url: str) -> Any:
    import redis
    from interlock import CircuitBreaker, Config
    from interlock.integrations.redis import RedisStorage

    return CircuitBreaker(
        name=name,
        config=Config(minimum_number_of_calls=THRESHOLD, window_size=THRESHOLD),
        storage=RedisStorage(redis.Redis.from_url(url)),
    )


@contextmanager
def closed(wrapping: Wrapping) -> Iterator[Work]:
    """Calls through a closed breaker that is in touch with Redis."""
    with redis_server() as url:
        opens(wrapping(_name(), url))
        call = wrapping(_name(), url)(answer)
        call()
        sleep(0.5)  # it has heard of others by then

        def work(n: int) -> Lap:
            total = 0
            started = perf_counter_ns()
            for _ in range(n):
                total += call()
            return Lap.since(started, total)

        yield work


def contender(name: str, settings: str, wrapping: Wrapping, package: str) -> Contender:
    @contextmanager
    def opened() -> Iterator[Work]:
        with closed(wrapping) as work:
            yield work

    return Contender(name, settings, opened, package)


def unavailable() -> None:
    raise ConnectionError("down")


@contextmanager
def watcher(name: str, url: str) -> Iterator[Callable[[Any], int]]:
    """Another machine: the moment at which its circuit is open, 0 if it does not open."""
    policy = penstock(name, url)
    policy.call(answer)  # long ago by the time of the first lap, so no evidence against it
    circuit = policy.circuit

    def lap(_: Any) -> int:
        end = monotonic_ns() + PATIENCE * 1e9
        while circuit.state != "open":
            if monotonic_ns() > end:
                return 0
            sleep(LOOK)
        return monotonic_ns()

    yield lap


@contextmanager
def opened_elsewhere(other_machine: str, scope: str) -> Iterator[Work]:
    """An operation is one opening; a sample is what the other process needed to see it."""
    name = _name()
    with redis_server() as url:
        scope = scope or url
        made = penstock(name, scope)
        fail = made(unavailable)
        with machine(other_machine), beside(watcher, name, scope) as other:
            sleep(2.5)

            def once() -> int:
                made.circuit.reset()
                sleep(0.05)  # the other has closed, too
                other.begin(1)
                for _ in range(THRESHOLD):
                    begun = monotonic_ns()
                    try:
                        fail()
                    except ConnectionError:
                        continue
                return int(other.end() - begun)

            def work(n: int) -> Lap:
                started = perf_counter_ns()
                samples = [once() for _ in range(n)]
                return Lap.since(started, samples, samples)

            yield work


SCOPED = f"`CircuitBreaker(failure_threshold={THRESHOLD}, scope="

CASES = (
    Case(
        room="resilience",
        name="breaker-machines",
        question="What does a call cost through a closed breaker that machines share over Redis?",
        contenders=[
            contender("penstock", f'{SCOPED}"redis://…")`', penstock, "penstock"),
            contender("one machine", f'{SCOPED}"machine")`', of_one_machine, "penstock"),
            contender("interlock", "`RedisStorage`, 5 calls", interlock, "interlock-cb"),
            bare(called),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(1 / 1.1, "one machine"), Target(4, "interlock")],
        shared=["redis"],
    ),
    Case(
        room="resilience",
        name="opening-machines",
        question="How long after the last failure that a breaker puts up with is it open on "
        "another machine, or process?",
        contenders=[
            Contender(
                "penstock",
                f'{SCOPED}"redis://…")`, another machine',
                partial(opened_elsewhere, "other", ""),
                "penstock",
            ),
            Contender(
                "one machine",
                f'{SCOPED}"machine")`, another process, looked at each {LOOK * 1e6:.0f} µs',
                partial(opened_elsewhere, "", "machine"),
                "penstock",
            ),
        ],
        is_right=lambda n, answer: len(answer) == n and all(each > 0 for each in answer),
        figures=[percentile(50), percentile(99), longest()],
        targets=[Target(50e-3, figure="p99")],
        least=20,
        shared=["redis"],
    ),
)
