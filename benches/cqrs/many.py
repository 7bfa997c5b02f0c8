"""What an item of a streaming query costs, and a query that is answered from memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.cqrs.buses import (
    FLOOR,
    Calling,
    all_answered,
    bare,
    contender,
    expect,
    python_cqrs,
)
from benches.loops import kept


@contextmanager
def read(lap: Any) -> Iterator[Work]:
    with kept("asyncio") as run:
        yield lambda n: run(partial(lap(), n))


def ours() -> Any:
    from penstock import QueryBus, StreamQuery

    @dataclass(frozen=True, slots=True)
    class Rows(StreamQuery[int]):
        count: int

    queries = QueryBus("bench")

    @queries.handles
    async def rows(query: Rows) -> Any:
        for _ in range(query.count):
            yield 1

    async def lap(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        async with queries.stream(Rows(n)) as items:
            async for item in items:
                total += item
        return Lap.since(started, total)

    return lap


def theirs() -> Any:
    import cqrs

    @dataclass
    class Rows(cqrs.DCRequest[int]):
        count: int

    class Handler(cqrs.StreamingRequestHandler[Rows, int]):
        @property
        def events(self) -> list[Any]:
            return []

        def clear_events(self) -> None:
            pass

        async def handle(self, request: Rows) -> Any:
            for _ in range(request.count):
                yield 1

    mapped = cqrs.RequestMap()
    mapped.bind(Rows, Handler)
    mediator = cqrs.StreamingRequestMediator(mapped, Calling())

    async def lap(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        async for item in mediator.stream(Rows(count=n)):
            total += item
        return Lap.since(started, total)

    return lap


def generator() -> Any:
    async def rows(count: int) -> Any:
        for _ in range(count):
            yield 1

    async def lap(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        async for item in rows(n):
            total += item
        return Lap.since(started, total)

    return lap


def cached() -> tuple[Any, Any]:
    from penstock import Query, QueryBus
    from penstock.cqrs import Cached

    @dataclass(frozen=True, slots=True)
    class Get(Query[int]):
        number: int

    queries = QueryBus("bench").use(Cached(600.0))
    asked: list[int] = []

    @queries.handles
    async def get(query: Get) -> int:
        asked.append(query.number)
        expect(len(asked) == 1, "it was asked twice")
        return query.number

    return queries.execute, Get(1)


CASES = (
    Case(
        room="cqrs",
        name="streaming-query",
        question="What does an item of a streaming query cost?",
        contenders=[
            Contender(
                "penstock",
                "`queries.stream`, read with `async for`",
                partial(read, ours),
                "penstock",
            ),
            Contender(
                "python-cqrs",
                "`StreamingRequestMediator`, read with `async for`",
                partial(read, theirs),
                "python-cqrs",
            ),
            Contender("bare generator", "floor, closed by nobody", partial(read, generator)),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(1, "python-cqrs")],
    ),
    Case(
        room="cqrs",
        name="cached-query",
        question="What does a query cost that is answered from memory?",
        contenders=[
            contender("penstock", "`Cached(600)`, by the query itself", cached),
            contender("python-cqrs", "has no caching: the mediator by itself", python_cqrs),
            contender("bare call", FLOOR, bare, None),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(1.5e-6)],
    ),
)
