"""A C program beside Python: its records are awaited, it takes what is put, and it is killed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from penstock import SharedQueue
from penstock.queues import QueueEmpty
from tests.capi.programs import SECONDS, Program

COUNT = 20_000

Start = Callable[..., Program]


def record(number: int) -> bytes:
    """What the program writes, and expects."""
    head = number.to_bytes(8, "little") + (number * 3).to_bytes(8, "little")
    return head + bytes([number & 0xFF]) * (number % 48)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.001)


def alone(queue: SharedQueue[Any]) -> None:
    """Sleeps on the empty queue until nobody else is in it, and nothing of others is left."""

    def is_alone() -> bool:
        with pytest.raises(QueueEmpty):
            queue.get(timeout=0.001)
        figures = queue.statistics()
        return (figures.participants, figures.dead) == (1, 0)

    until(is_alone)


@pytest.fixture
def start(peer: Path) -> Iterator[Start]:
    """Starts the program on a queue: by an inherited descriptor, or by the queue's name."""
    started: list[Program] = []

    def start(queue: SharedQueue[Any], *arguments: str, name: str | None = None) -> Program:
        fd = queue.fileno()
        where = str(fd) if name is None else name
        program = Program([peer, where, *arguments], fds=[fd] if name is None else [])
        started.append(program)
        return program

    yield start
    for program in started:
        program.__exit__()


@pytest.fixture(params=["descriptor", "name"])
def named(request: pytest.FixtureRequest) -> str | None:
    """How the program joins."""
    return None if request.param == "descriptor" else f"capi-{random.getrandbits(64):x}"


async def test_records_of_a_program_are_awaited(anyio_backend, start: Start, named: str | None):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10, name=named)
    program = start(queue, "produce", str(COUNT), name=named)
    got: list[bytes] = []

    async def ends_well() -> None:
        assert await anyio.to_thread.run_sync(program.outcome) == f"sent {COUNT}"

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(ends_well)
            while len(got) < COUNT:
                got.extend(await queue.aget_many(256))
    assert got == [record(number) for number in range(COUNT)]
    assert queue.empty()
    queue.close()


async def test_a_program_takes_what_tasks_put(anyio_backend, start: Start, named: str | None):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10, name=named)
    program = start(queue, "consume", name=named)

    async def ends_well() -> None:
        assert await anyio.to_thread.run_sync(program.outcome) == f"received {COUNT}"

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(ends_well)
            for first in range(0, COUNT, 500):
                await queue.aput_many([record(number) for number in range(first, first + 500)])
            queue.shutdown()
    queue.close()


def test_two_programs_meet(start: Start):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10)
    consumer = start(queue, "consume")
    assert start(queue, "produce", str(COUNT)).outcome() == f"sent {COUNT}"
    queue.shutdown()
    assert consumer.outcome() == f"received {COUNT}"
    queue.close()


@pytest.mark.parametrize("round_", range(8))
def test_a_producer_killed_at_any_moment_leaves_whole_records(start: Start, round_: int):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10)
    program = start(queue, "produce", "0")
    assert program.line() == "begun"
    enough = random.Random(round_).randrange(1, 30_000)
    got: list[bytes] = []
    while len(got) < enough:
        got += queue.get_many(256, timeout=SECONDS)
    program.kill()
    while rest := queue.get_many(256, min=0):
        got += rest
    assert got == [record(number) for number in range(len(got))]
    # Nothing is in anybody's way: another one does it all.
    assert start(queue, "produce", "100").outcome() == "sent 100"
    assert queue.get_many(256, timeout=SECONDS) == [record(number) for number in range(100)]
    alone(queue)
    queue.close()


async def test_a_task_outlives_the_producers_it_waits_for(anyio_backend, start: Start):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10)
    killed = start(queue, "produce", "0")
    with anyio.fail_after(SECONDS):
        got = await queue.aget_many(256)
        killed.kill()
        while rest := await queue.aget_many(256, min=0):
            got += rest
        assert got == [record(number) for number in range(len(got))]
        async with anyio.create_task_group() as group:

            async def take() -> None:
                assert await queue.aget() == record(0)

            group.start_soon(take)
            await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(start(queue, "produce", "1").outcome)
    queue.close()


def test_claims_of_a_killed_program_are_as_if_never_made(start: Start):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=1 << 20)
    program = start(queue, "hold")
    assert program.line() == "holds"
    queue.put(b"through")
    program.kill()
    assert queue.get_many() == [b"through"]
    alone(queue)
    queue.close()


def test_a_program_killed_while_it_waits_takes_no_wake_with_it(start: Start):
    queue: SharedQueue[bytes] = SharedQueue()
    program = start(queue, "park")
    assert program.line() == "parks"
    until(lambda: queue.statistics().waiting_getters == 1)
    program.kill()
    queue.put(b"next")
    assert queue.get(timeout=SECONDS) == b"next"
    other = start(queue, "park")
    assert other.line() == "parks"
    until(lambda: queue.statistics().waiting_getters == 1)
    queue.put(b"hello")
    assert other.outcome() == "received hello"
    queue.close()


def test_a_stopped_program_holds_nobody_up(start: Start):
    queue: SharedQueue[bytes] = SharedQueue(max_bytes=64 << 10)
    program = start(queue, "produce", "0")
    assert program.line() == "begun"
    program.send_signal(signal.SIGSTOP)
    got: list[bytes] = []
    while rest := queue.get_many(256, min=0):
        got += rest
    queue.put(b"mine")
    assert queue.get(timeout=SECONDS) == b"mine"
    program.send_signal(signal.SIGCONT)
    while len(got) < 5000:
        got += queue.get_many(256, timeout=SECONDS)
    assert got == [record(number) for number in range(len(got))]
    program.kill()
    queue.close()


def test_a_signal_ends_a_wait(start: Start):
    queue: SharedQueue[bytes] = SharedQueue()
    program = start(queue, "interrupted")
    assert program.line() == "parks"
    until(lambda: queue.statistics().waiting_getters == 1)
    program.send_signal(signal.SIGUSR1)
    assert program.outcome() == "interrupted, rung"
    queue.close()


def test_a_forked_child_goes_on_with_the_handle(start: Start):
    queue: SharedQueue[bytes] = SharedQueue()
    assert start(queue, "fork").outcome() == "forked"
    got = [queue.get(timeout=SECONDS) for _ in range(3)]
    assert got[0] == b"before"
    assert sorted(got[1:]) == [b"child", b"parent"]
    queue.close()


def test_a_program_is_told_what_is_wrong(peer: Path):
    with Program([peer, "no-such-queue", "park"]) as program:
        _, errors = program.communicate(timeout=SECONDS)
    assert program.returncode == 1
    assert "no-such-queue" in errors
    with Program([peer, "99", "park"]) as program:
        _, errors = program.communicate(timeout=SECONDS)
    assert errors.startswith("attach: the queue of descriptor 99: Bad file descriptor")
