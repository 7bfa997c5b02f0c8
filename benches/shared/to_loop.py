"""From another process into a task on asyncio, and back: what awaiting costs beside blocking."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, percentile, rate
from benches.loops import kept
from benches.shared import peers
from benches.shared.beside import beside
from benches.shared.dicts import ONE_BY_ONE, READINGS, reading
from benches.shared.peers import BATCH, BOUND, Way
from benches.shared.round_trip import EVENTFD, SLEEPING, Line, contender, in_order
from benches.shared.streaming import WHOLE, giving, streaming
from benches.units import ITEMS

Await = Callable[[], Awaitable[Any]]


# --- a stream of dicts ----------------------------------------------------------------------


async def each(get: Await, n: int) -> tuple[list[Any], list[Any]]:
    mark, whole = READINGS.mark, min(WHOLE, n)
    return [mark(await get()) for _ in range(n - whole)], [await get() for _ in range(whole)]


async def lists(get: Await, n: int) -> tuple[list[Any], list[Any]]:
    """As among threads."""
    mark = READINGS.mark
    marks: list[Any] = []
    while n - len(marks) >= WHOLE + BATCH:
        marks += map(mark, await get())
    rest: list[Any] = []
    while len(marks) + len(rest) < n:
        rest += await get()
    early = len(rest) - min(WHOLE, n)
    return marks + [mark(item) for item in rest[:early]], rest[early:]


@contextmanager
def awaited(way: Way, take: Callable[[Await, int], Awaitable[Any]]) -> Iterator[Work]:
    """As `streamed`, but `way.get` gives what is awaited."""
    with (
        way.make() as made,
        way.get(made) as get,
        beside(giving, way.put, made, reading) as other,
        kept("asyncio") as run,
    ):

        async def lap(n: int) -> Lap:
            started = perf_counter_ns()
            other.begin(n)
            done = Lap.since(started, await take(get, n))
            other.end()
            return done

        yield lambda n: run(partial(lap, n))


@contextmanager
def penstock_aget(queue: Any) -> Iterator[Await]:
    yield queue.aget


@contextmanager
def penstock_aget_many(queue: Any) -> Iterator[Await]:
    yield partial(queue.aget_many, BATCH)


@contextmanager
def zmq_await(address: str) -> Iterator[Await]:
    import pickle

    import zmq.asyncio

    with zmq.asyncio.Context() as context, context.socket(zmq.PULL) as socket:
        socket.linger = 0
        socket.bind(address)
        receive, loads = socket.recv, pickle.loads

        async def get() -> Any:
            return loads(await receive())

        yield get


@contextmanager
def threaded_get(queue: Any) -> Iterator[Await]:
    yield partial(asyncio.to_thread, queue.get)


BLOCKING = ONE_BY_ONE[0]
AWAITED = replace(
    BLOCKING, settings=f"`put` there, `aget` here, max_items {BOUND}", get=penstock_aget
)
AWAITED_MANY = replace(
    BLOCKING,
    name="penstock.SharedQueue, aget_many",
    settings=f"`put` there, `aget_many({BATCH})` here, max_items {BOUND}",
    get=penstock_aget_many,
)
ZMQ = Way(
    "pyzmq",
    "`send(pickle.dumps(...))` there, `loads(await recv())` of `zmq.asyncio` here, PUSH and PULL "
    "over ipc",
    peers.ipc_address,
    peers.zmq_put,
    zmq_await,
    "pyzmq",
)
THREADED = Way(
    "multiprocessing.Queue",
    f"`put` there, `asyncio.to_thread(get)` here, maxsize {BOUND}",
    peers.multiprocessing_queue,
    peers.queue_put,
    threaded_get,
)


def awaiting(way: Way, take: Any = each) -> Contender:
    return Contender(way.name, way.settings, partial(awaited, way, take), way.package)


# --- the round trip -------------------------------------------------------------------------

Call = Callable[[int], Awaitable[int]]


@contextmanager
def called(line: Line, call: Callable[[Any], AbstractContextManager[Call]]) -> Iterator[Work]:
    """The other process blocks, a task of this one awaits; each trip is a sample."""
    with line.make() as made, beside(line.echo, made) as other, kept("asyncio") as run:

        async def lap(n: int) -> Lap:
            with call(made) as trip:
                answer: list[int] = []
                samples: list[int] = []
                other.begin(n)
                started = perf_counter_ns()
                for number in range(n):
                    sent = perf_counter_ns()
                    answer.append(await trip(number))
                    samples.append(perf_counter_ns() - sent)
                done = Lap.since(started, answer, samples)
            other.end()
            return done

        yield lambda n: run(partial(lap, n))


@contextmanager
def penstock_call(made: Any) -> Iterator[Call]:
    there, back = made
    put, get = there.aput, back.aget

    async def call(number: int) -> int:
        await put(number)
        answer: int = await get()
        return answer

    yield call


@contextmanager
def eventfd_call(made: Any) -> Iterator[Call]:
    """One reader for all trips; what it reads goes to the future that is waited for."""
    there, back = (end.number for end in made)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()

    def readable() -> None:
        answer.set_result(os.eventfd_read(back) - 1)

    async def call(number: int) -> int:
        nonlocal answer
        answer = loop.create_future()
        os.eventfd_write(there, number + 1)
        return await answer

    loop.add_reader(back, readable)
    try:
        yield call
    finally:
        loop.remove_reader(back)


def calling(line: Line, settings: str, call: Any) -> Contender:
    return Contender(line.name, settings, partial(called, line, call), line.package)


CASES = (
    Case(
        room="shared",
        name="dict-to-asyncio",
        question="How many small dicts a second reach a task on asyncio from another process?",
        contenders=[
            awaiting(AWAITED),
            awaiting(AWAITED_MANY, lists),
            streaming(
                replace(
                    BLOCKING,
                    name="penstock.SharedQueue, blocking",
                    settings=f"`put` there, `get` here without a loop, max_items {BOUND}",
                ),
                READINGS,
            ),
            awaiting(ZMQ),
            awaiting(THREADED),
        ],
        is_right=READINGS.all_came,
        figures=[rate(ITEMS)],
        targets=[Target(3, "pyzmq"), Target(0.5, "penstock.SharedQueue, blocking")],
    ),
    Case(
        room="shared",
        name="round-trip-asyncio",
        question="How long does a number take from a task on asyncio to another process and back?",
        contenders=[
            calling(SLEEPING[0], "`aput` and `aget` here, `get` and `put` there", penstock_call),
            contender(
                replace(
                    SLEEPING[0],
                    name="penstock.SharedQueue, blocking",
                    settings="`put` and `get` on both sides, without a loop",
                )
            ),
            calling(
                EVENTFD,
                "floor: `eventfd_write` here, one `add_reader` and a future; blocking there",
                eventfd_call,
            ),
        ],
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        targets=[Target(0.5, "eventfd", "p50")],
    ),
)
