"""Put, get and acknowledge on SQLite with an fsync for every commit, fifty callers at once."""

from __future__ import annotations

import queue as standard_queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.durability import WAL_FULL, folder, level, require_level, writers_level
from benches.loops import Loop, kept
from benches.units import Unit

CALLERS = 50
MESSAGES = Unit("messages/s", more_is_better=True)


@contextmanager
def penstock_messages(loop: Loop) -> Iterator[Work]:
    import anyio

    from penstock import Message, MessageQueue

    with folder() as place, kept(loop) as run:

        async def lap(n: int) -> Lap:
            answer: list[int] = []
            done = anyio.Event()

            async def handle(message: Message[int]) -> None:
                answer.append(message.data)
                if len(answer) == n:
                    done.set()

            async def produce(first: int) -> None:
                for number in range(first, n, CALLERS):
                    await queue.enqueue(number)

            queue = MessageQueue("bench", f"sqlite:///{place}/penstock.db", type=int)
            async with queue:
                require_level(WAL_FULL, await writers_level(queue.store.writer))
                started = perf_counter_ns()
                # Leaving the consumer's block waits until all is acknowledged.
                async with queue.consumer(handle, concurrency=CALLERS):
                    async with anyio.create_task_group() as group:
                        for first in range(CALLERS):
                            group.start_soon(produce, first)
                    await done.wait()
                took = perf_counter_ns() - started
                left = (await queue.statistics()).depth
            return Lap(answer if not left else None, took)

        yield lambda n: run(partial(lap, n))


@contextmanager
def huey_queue() -> Iterator[Work]:
    from huey import SqliteHuey

    with folder() as place, ThreadPoolExecutor(CALLERS) as pool:
        huey: Any = SqliteHuey("bench", filename=str(place / "huey.db"), fsync=True, results=False)
        require_level(WAL_FULL, level(huey.storage.conn.execute))
        answer: list[int] = []

        @huey.task()  # type: ignore[untyped-decorator, unused-ignore]
        def work(number: int) -> None:
            answer.append(number)

        def one(number: int) -> None:
            work(number)
            task = None
            while task is None:
                task = huey.dequeue()
            huey.execute(task)

        yield partial(by_threads, pool, one, answer)


@contextmanager
def persist_queue() -> Iterator[Work]:
    from persistqueue import SQLiteAckQueue
    from persistqueue.exceptions import Empty

    with folder() as place, ThreadPoolExecutor(CALLERS) as pool:
        queue: Any = SQLiteAckQueue(str(place), multithreading=True, auto_commit=True)
        require_level(WAL_FULL, level(queue._putter.execute))
        answer: list[int] = []

        def one(number: int) -> None:
            queue.put(number)
            while True:
                try:
                    item = queue.get(block=False)
                    break
                except (Empty, standard_queue.Empty):
                    continue
            answer.append(item)
            queue.ack(item)

        yield partial(by_threads, pool, one, answer)
        queue.close()


def by_threads(
    pool: ThreadPoolExecutor, one: Callable[[int], None], answer: list[int], n: int
) -> Lap:
    answer.clear()
    started = perf_counter_ns()
    for _ in pool.map(one, range(n)):  # raises what a thread raised
        pass
    return Lap.since(started, list(answer))


def all_once(n: int, answer: list[int]) -> bool:
    return answer is not None and sorted(answer) == list(range(n))


CASES = (
    Case(
        room="messages",
        name="put-get-ack",
        question=(
            "How many messages a second are put, handled and acknowledged on SQLite, each commit "
            "with an fsync?"
        ),
        contenders=[
            Contender(
                "penstock.MessageQueue",
                f"{WAL_FULL}; {CALLERS} tasks `enqueue`, a consumer with "
                f"concurrency={CALLERS}, on asyncio",
                partial(penstock_messages, "asyncio"),
                "penstock",
            ),
            Contender(
                "huey",
                f"{WAL_FULL}: `SqliteHuey(fsync=True, results=False)`; enqueue, dequeue and "
                f"execute in {CALLERS} threads. It does not acknowledge",
                huey_queue,
                "huey",
            ),
            Contender(
                "persist-queue",
                f"{WAL_FULL}: `SQLiteAckQueue(multithreading=True)`; put, get and ack in {CALLERS} "
                f"threads",
                persist_queue,
                "persist-queue",
            ),
        ],
        is_right=all_once,
        figures=[rate(MESSAGES)],
        targets=[Target(13, "huey"), Target(13, "persist-queue"), Target(20_000)],
        least=100,
    ),
)
