"""Queries with many answers: as fast as they are read, and closed on every way out."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest

from penstock import Deadline, QueryBus, StreamQuery, metrics, tracing
from penstock.cqrs import Cached, Factories, Logged, Measured, Query, Traced, Validated
from penstock.errors import Misuse


@dataclass(frozen=True)
class Numbers(StreamQuery[int]):
    count: int


class One(Query[int]): ...


@pytest.fixture
def log() -> list[object]:
    return []


@pytest.fixture
def queries(log) -> QueryBus:
    bus = QueryBus("numbers")

    @bus.handles
    async def numbers(query: Numbers) -> AsyncIterator[int]:
        log.append("begin")
        try:
            for number in range(query.count):
                log.append(number)
                yield number
        finally:
            await anyio.lowlevel.checkpoint()
            log.append("closed")

    return bus


async def test_nothing_runs_before_it_is_read_and_another_run_asks_again(queries, log):
    stream = queries.stream(Numbers(2))
    gc.collect()
    assert log == []
    assert await stream.collect() == [0, 1]
    assert await stream.map(lambda each: each * 2).collect() == [0, 2]
    assert log == ["begin", 0, 1, "closed"] * 2


async def test_it_runs_no_further_than_it_is_read(queries, log):
    async with queries.stream(Numbers(10**9)) as items:
        async for item in items:
            assert log[-1] == item
            if item == 3:
                break
        assert "closed" not in log
    assert log == ["begin", 0, 1, 2, 3, "closed"]


@pytest.mark.parametrize("behaviours", [False, True])
async def test_it_is_closed_when_the_reader_fails_or_is_cancelled(queries, log, behaviours):
    if behaviours:

        async def doubled(query, next):
            async for item in next(query):
                yield item * 2

        queries.use(
            Logged(),
            Traced(tracing.Tracer("t", store=tracing.SpanStore())),
            Measured(metrics.Metrics()),
            Validated(),
            doubled,
        )

    with pytest.raises(LookupError):
        async with queries.stream(Numbers(5)) as items:
            async for _ in items:
                raise LookupError
    assert log == ["begin", 0, "closed"]
    log.clear()
    with anyio.move_on_after(0.01) as scope:
        async with queries.stream(Numbers(5)) as items:
            async for _ in items:
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    # A cancelled generator does not get beyond its next checkpoint, but it does get there.
    assert log[:2] == ["begin", 0]
    log.clear()
    taken = await queries.stream(Numbers(10**9)).take(3).collect()
    assert taken == ([0, 2, 4] if behaviours else [0, 1, 2])
    assert log[-1] == "closed"


async def test_an_error_of_the_handler_comes_after_the_items_before_it(queries):
    class Failing(StreamQuery[int]): ...

    @queries.handles
    async def failing(query: Failing):
        yield 1
        raise LookupError("row 2")

    seen = []
    with pytest.raises(LookupError, match="row 2"):
        async with queries.stream(Failing()) as items:
            async for item in items:
                seen.append(item)  # noqa: PERF401 - up to the error
    assert seen == [1]


async def test_behaviours_of_streams_are_generators_and_see_the_end(queries, log):
    async def noting(query, next):
        log.append("before")
        try:
            async for item in next(Numbers(query.count + 1)):
                yield item + 10
        finally:
            log.append("after")

    queries.use(noting)
    assert await queries.stream(Numbers(1)).collect() == [10, 11]
    assert log == ["before", "begin", 0, 1, "closed", "after"]
    log.clear()
    async with queries.stream(Numbers(5)) as items:
        async for _ in items:
            break
    assert log == ["before", "begin", 0, "after", "closed"]


async def test_a_scope_is_open_as_long_as_the_stream_is(log):
    class Session: ...

    async def session() -> AsyncIterator[Session]:
        log.append("open")
        yield Session()
        log.append("close")

    bus = QueryBus("numbers", resolver=Factories().add(Session, session))

    @bus.handler(Numbers)
    class Handler:
        def __init__(self, session: Session) -> None:
            self.session = session

        async def handle(self, query: Numbers):
            for number in range(query.count):
                yield number

    async with bus.stream(Numbers(3)) as items:
        async for _ in items:
            assert log == ["open"]
            break
    assert log == ["open", "close"]


async def test_a_span_is_not_current_between_two_items(queries):
    tracer = tracing.Tracer("test", store=tracing.SpanStore())
    queries.use(Traced(tracer))
    async with queries.stream(Numbers(2)) as items:
        async for _ in items:
            assert tracing.current_span() is None
    (trace,) = tracer.traces()
    assert [span.name for span in trace.spans] == ["Numbers"]


async def test_other_forms_of_handlers(queries):
    class Iterated(StreamQuery[int]): ...

    class Plain(StreamQuery[int]): ...

    class Wrong(StreamQuery[int]): ...

    class Source:
        async def __aiter__(self):
            yield 1

    queries.register(Iterated, lambda query: Source())

    def plain(query: Plain):
        yield from (1, 2)

    with pytest.raises(Misuse, match="the loop would wait for each of its items"):
        queries.register(Plain, plain)
    queries.register(Plain, plain, inline=True)
    queries.register(Wrong, lambda query: [1])
    assert await queries.stream(Iterated()).collect() == [1]
    assert await queries.stream(Plain()).collect() == [1, 2]
    with pytest.raises(Misuse, match=r"returned \[1\]"):
        await queries.stream(Wrong()).collect()


async def test_what_cannot_work_is_refused(queries):
    class Unknown(StreamQuery[int]): ...

    @queries.handles
    async def one(query: One) -> int:
        return 1

    async def answer(query: Unknown) -> int:
        return 1

    async def plain(query, next):
        return await next(query)

    with pytest.raises(Misuse, match="nobody handles Unknown"):
        queries.stream(Unknown())
    with pytest.raises(Misuse, match="One has one answer"):
        queries.stream(One())
    with pytest.raises(Misuse, match="Numbers has many answers"):
        queries.execute(Numbers(1))
    with pytest.raises(Misuse, match="returns one answer, and a StreamQuery has many"):
        queries.register(Unknown, answer)
    with pytest.raises(Misuse, match="means nothing for Numbers"):
        queries.use(plain, only=Numbers)
    with pytest.raises(Misuse, match="means nothing for Numbers"):
        queries.use(Cached(1.0), only=Numbers)


async def test_a_policy_holds_for_the_whole_stream(queries):
    class Slow(StreamQuery[int]): ...

    @queries.handles
    async def slow(query: Slow):
        yield 1
        await anyio.sleep_forever()

    queries.use(Deadline(0.01), only=Slow)
    with pytest.raises(TimeoutError):
        await queries.stream(Slow()).collect()


def test_threads_read_it_item_by_item_and_may_stop(queries, log):
    with queries.sync as blocking:
        assert list(blocking.stream(Numbers(3))) == [0, 1, 2]
        log.clear()
        items = blocking.stream(Numbers(10**9))
        assert next(items) == 0
        items.close()
        assert log == ["begin", 0, "closed"]
