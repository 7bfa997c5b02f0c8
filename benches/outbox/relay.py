"""From rows of an outbox to their publication, beside the poller of the textbooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter_ns

import anyio

from benches.case import Case, Contender, Lap, Target, Work, percentile, rate
from benches.loops import kept
from benches.outbox.sides import POLL, Ours, Poller, Side, connect, database, until
from benches.units import Unit

EVENTS = Unit("events/s", more_is_better=True)
PACE = 0.005  # seconds between two commits, where the delay is measured


@contextmanager
def backlog(kind: Callable[..., Side]) -> Iterator[Work]:
    """n events are committed at once; the lap ends when the last one is marked."""
    with database() as opened, kept("asyncio") as run:
        side = kind(*opened)

        async def lap(n: int) -> Lap:
            answer: list[int] = []

            async def publish(number: int) -> None:
                answer.append(number)

            async with side.into_function(publish):
                side.add(range(n))
                started = perf_counter_ns()
                await until(lambda: len(answer) == n and not side.left())
                return Lap.since(started, list(answer))

        yield lambda n: run(partial(lap, n))


@contextmanager
def forwarded(kind: Callable[..., Side], file: str) -> Iterator[Work]:
    """The same into a message queue; what it holds then is the answer."""
    from penstock import MessageQueue

    with database() as (path, connection), kept("asyncio") as run:
        side = kind(path, connection)
        laps = 0

        async def lap(n: int) -> Lap:
            nonlocal laps
            laps += 1
            queue = MessageQueue[int](f"bench {laps}", f"sqlite:///{path.parent}/{file}", type=int)
            async with queue, side.into_queue(queue):
                side.add(range(n))
                started = perf_counter_ns()
                await until(lambda: not side.left())
                took = perf_counter_ns() - started
            return Lap(taken(path.parent / file), took)

        yield lambda n: run(partial(lap, n))


def taken(path: Path) -> list[int]:
    """What the queues of the file hold; emptied, so that the next lap has as much to do."""
    connection = connect(path)
    rows = connection.execute("DELETE FROM penstock_message RETURNING payload").fetchall()
    connection.execute("DELETE FROM penstock_message_dedupe")
    connection.close()
    return [int(payload) for (payload,) in rows]


@contextmanager
def one_by_one(kind: Callable[..., Side]) -> Iterator[Work]:
    """Commits at a steady pace; each sample is the time from a commit to its publication."""
    with database() as opened, kept("asyncio") as run:
        side = kind(*opened)

        async def lap(n: int) -> Lap:
            committed: list[int] = []
            answer: list[int] = []
            samples: list[int] = []

            async def publish(number: int) -> None:
                samples.append(perf_counter_ns() - committed[number])
                answer.append(number)

            async with side.into_function(publish):
                started = perf_counter_ns()
                for number in range(n):
                    side.add(range(number, number + 1))
                    committed.append(perf_counter_ns())
                    await anyio.sleep(PACE)
                await until(lambda: len(answer) == n)
                return Lap.since(started, list(answer), samples)

        yield lambda n: run(partial(lap, n))


def all_once(n: int, answer: list[int]) -> bool:
    return sorted(answer) == list(range(n))


_POLLER = "SELECT … LIMIT 100, publish, UPDATE each, one commit a batch, synchronous=FULL"

CASES = (
    Case(
        room="outbox",
        name="relay",
        question=(
            "How many committed events a second go from the outbox to an async function that "
            "does nothing, and are marked as published with an fsync?"
        ),
        contenders=[
            Contender(
                "penstock.Relay",
                "defaults; 100 keys; WAL, synchronous=FULL, on asyncio",
                partial(backlog, Ours),
                "penstock",
            ),
            Contender("textbook poller", _POLLER, partial(backlog, Poller)),
        ],
        is_right=all_once,
        figures=[rate(EVENTS)],
        targets=[Target(20_000)],
        least=1000,
    ),
    Case(
        room="outbox",
        name="relay-queue",
        question=(
            "How many committed events a second go from the outbox into a message queue on "
            "SQLite, each once, with an fsync on both sides?"
        ),
        contenders=[
            Contender(
                "penstock.Relay",
                "queue and outbox in one file; WAL, synchronous=FULL, on asyncio",
                partial(forwarded, Ours, "orders.db"),
                "penstock",
            ),
            Contender(
                "textbook poller",
                f"{_POLLER}; publishes by `await queue.enqueue(…, dedupe=…)` into another file",
                partial(forwarded, Poller, "jobs.db"),
            ),
        ],
        is_right=all_once,
        figures=[rate(EVENTS)],
        targets=[Target(10, "textbook poller")],
        least=500,
    ),
    Case(
        room="outbox",
        name="delay",
        question="How long is it from a commit to the publication, at 200 commits a second?",
        contenders=[
            Contender(
                "penstock.Relay",
                "defaults; the commits are those of another connection",
                partial(one_by_one, Ours),
                "penstock",
            ),
            Contender(
                "textbook poller",
                f"{_POLLER}; asks every {POLL * 1000:.0f} ms",
                partial(one_by_one, Poller),
            ),
        ],
        is_right=all_once,
        figures=[percentile(50), percentile(99)],
        targets=[Target(0.005, figure="p50")],
        least=50,
    ),
)
