"""How long a probe or a place is gone whose holder was killed.

A process takes the only one and says so; it is killed with SIGKILL; this process asks, without a
pause, until it gets it. The time counts from the signal.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import NamedTemporaryFile
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

    def take() -> bool:
        try:
            policy.call(answer)
        except Rejected:
            return False
        return True

    def once() -> int:
        prepare(policy)
        return freed(held, (made, name), take)

    yield partial(sampled, once)


def freed(hold: Callable[..., None], arguments: tuple[Any, ...], take: Callable[[], bool]) -> int:
    """Nanoseconds from the holder's death until it can be taken; 0 if it never could."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(*arguments, theirs), daemon=True)
    process.start()
    ours.recv()
    if take():
        raise WrongAnswer("what another process holds was given out once more")
    assert process.pid is not None
    begun = perf_counter_ns()
    os.kill(process.pid, signal.SIGKILL)
    try:
        while perf_counter_ns() - begun < PATIENCE * 1e9:
            if take():
                return perf_counter_ns() - begun
    finally:
        process.join()
        ours.close()
    return 0


def sampled(once: Callable[[], int], n: int) -> Lap:
    started = perf_counter_ns()
    samples = [once() for _ in range(n)]
    return Lap.since(started, samples, samples)


def locked(path: str, line: Connection) -> None:
    """In the process that will be killed: has the lock, and says so."""
    with Path(path).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line.send("held")
        sleep(PATIENCE)


@contextmanager
def lock_of_a_file() -> Iterator[Work]:
    with NamedTemporaryFile() as file:

        def take() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            fcntl.flock(file, fcntl.LOCK_UN)
            return True

        yield partial(sampled, partial(freed, locked, (file.name,), take))


def case(name: str, what: str, settings: str, opening: Any) -> Case:
    return Case(
        room="resilience",
        name=name,
        question=f"How long is {what} gone whose holder is killed?",
        contenders=[
            Contender("penstock", settings, opening, "penstock"),
            Contender(
                "flock",
                "floor: a file's lock, which the kernel drops as its holder dies",
                lock_of_a_file,
            ),
        ],
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
