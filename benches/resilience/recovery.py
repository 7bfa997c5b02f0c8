"""How long a probe or a place is gone whose holder was killed.

A process takes the only one and says so; it is killed with SIGKILL; this process asks, without a
pause, until it gets it. The time counts from the signal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter_ns, sleep
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, longest, percentile
from benches.refusal import WrongAnswer
from benches.resilience.calls import answer
from benches.shared.beside import SPAWN

PATIENCE = 10.0  # seconds
OPEN_FOR = 0.05  # seconds until a probe is let through


def probing(name: str) -> Any:
    from penstock import CircuitBreaker, Policy

    return Policy(
        name,
        CircuitBreaker(
            failure_threshold=1,
            success_threshold=2,  # the first that succeeds does not close it
            open_for=OPEN_FOR,
            scope="machine",
        ),
    )


def placing(name: str) -> Any:
    from penstock import Bulkhead, Policy

    return Policy(name, Bulkhead(1, scope="machine"))


def held(made: Callable[[str], Any], name: str, line: Connection) -> None:
    """In the process that will be killed: takes it, says so, and never gives it back."""

    def hold() -> None:
        line.send("held")
        sleep(PATIENCE)

    made(name).call(hold)


def opened(policy: Any) -> None:
    """Half-open: the next call is a probe."""

    def fail() -> None:
        raise ConnectionError("down")

    policy.circuit.reset()
    try:
        policy.call(fail)
    except ConnectionError:
        sleep(1.2 * OPEN_FOR)


@contextmanager
def killed(made: Callable[[str], Any], prepare: Callable[[Any], None]) -> Iterator[Work]:
    from penstock.errors import Rejected

    name = f"bench-recovery-{os.getpid()}-{perf_counter_ns()}"
    policy = made(name)

    def once() -> int:
        prepare(policy)
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=held, args=(made, name, theirs), daemon=True)
        process.start()
        ours.recv()
        try:
            policy.call(answer)
        except Rejected:
            pass
        else:
            raise WrongAnswer("what another process holds was given out once more")
        assert process.pid is not None
        begun = perf_counter_ns()
        os.kill(process.pid, signal.SIGKILL)
        try:
            while perf_counter_ns() - begun < PATIENCE * 1e9:
                try:
                    policy.call(answer)
                except Rejected:
                    continue
                return perf_counter_ns() - begun
        finally:
            process.join()
            ours.close()
        return 0

    def work(n: int) -> Lap:
        started = perf_counter_ns()
        samples = [once() for _ in range(n)]
        return Lap.since(started, samples, samples)

    yield work


def case(name: str, what: str, settings: str, opening: Any) -> Case:
    return Case(
        room="resilience",
        name=name,
        question=f"How long is {what} gone whose holder is killed?",
        contenders=[Contender("penstock", settings, opening, "penstock")],
        is_right=lambda n, answer: len(answer) == n and all(each > 0 for each in answer),
        figures=[percentile(50), longest()],
        targets=[Target(1.0, figure="longest")],
        least=5,
    )


CASES = (
    case(
        "recovery-probe",
        "a half-open breaker's only probe",
        '`CircuitBreaker(scope="machine")`, one probe',
        partial(killed, probing, opened),
    ),
    case(
        "recovery-place",
        "a bulkhead's only place",
        '`Bulkhead(1, scope="machine")`',
        partial(killed, placing, lambda _: None),
    ),
)
