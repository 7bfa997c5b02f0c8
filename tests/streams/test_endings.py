"""However a run ends, its stages end, its source is closed, and the first cause is what is seen."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock import Stream
from penstock.errors import Closed, Lost, Misuse
from penstock.streams import Run

pytestmark = pytest.mark.anyio


class Source:
    """Endless, plain or async; knows whether it has been closed."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.closed = False
        self.fails_at = fails_at

    def items(self) -> Iterator[int]:
        try:
            number = 0
            while True:
                number += 1
                if number == self.fails_at:
                    raise ConnectionResetError("source is gone")
                yield number
        finally:
            self.closed = True

    async def items_async(self) -> AsyncIterator[int]:
        try:
            number = 0
            while True:
                number += 1
                if number == self.fails_at:
                    raise ConnectionResetError("source is gone")
                await checkpoint()
                yield number
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoint()  # closing may take its time
            self.closed = True

    def stream(self, kind: str) -> Stream[int]:
        return Stream.from_iterable(self.items() if kind == "plain" else self.items_async())


async def slow(item: int) -> int:
    await checkpoint()
    return item


def boom(item: int) -> int:
    if item == 20:
        raise KeyError(item)
    return item


async def boom_later(item: int) -> int:
    await checkpoint()
    return boom(item)


SHAPES = {
    "fused": lambda s: s.map(lambda x: x),
    "buffered": lambda s: s.buffer(5).map(lambda x: x),
    "concurrent": lambda s: s.map(slow, concurrency=4),
    "unordered": lambda s: s.map(slow, concurrency=4, ordered=False),
    "all": lambda s: s.buffer(3).map(slow, concurrency=2).flat_map(lambda x: [x]).buffer(2),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(params=["plain", "async"])
def kind(request):
    return request.param


async def tasks_alive() -> int:
    if "trio" in sys.modules and anyio_is_trio():
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def anyio_is_trio() -> bool:
    import sniffio

    return sniffio.current_async_library() == "trio"


async def test_leaving_early(shape, kind):
    before = []
    for _ in range(3):  # at its first sleep a loop may make a task of its own, the hub's
        source = Source()
        async with shape(source.stream(kind)) as items:
            async for item in items:
                if item > 3:
                    break
        assert source.closed
        before.append(await tasks_alive())
    assert before[1] == before[2]


async def test_an_error_in_the_block_is_not_changed(shape, kind):
    source = Source()
    with pytest.raises(ZeroDivisionError) as caught:
        async with shape(source.stream(kind)) as items:
            async for _ in items:
                1 / 0  # noqa: B018
    assert not hasattr(caught.value, "__notes__")
    assert source.closed


async def test_an_error_in_a_cancelled_block_is_not_changed(shape, kind):
    source = Source()
    with anyio.CancelScope() as scope, pytest.raises(ZeroDivisionError):
        async with shape(source.stream(kind)) as items:
            await anext(items)
            scope.cancel()
            1 / 0  # noqa: B018
    assert source.closed


async def test_a_cancelled_scope(shape, kind):
    source = Source()
    with anyio.CancelScope() as scope:
        async with shape(source.stream(kind)) as items:
            async for item in items:
                if item > 3:
                    scope.cancel()
    assert scope.cancelled_caught
    assert source.closed


async def test_a_deadline_around_a_run(shape, kind):
    source = Source()

    def sink(item: int) -> None:
        if item == 3:
            scope.deadline = anyio.current_time()

    with pytest.raises(TimeoutError):
        with anyio.fail_after(60) as scope:
            await shape(source.stream(kind)).to(sink)
    assert source.closed


@pytest.mark.parametrize("where", ["waiting", "in the block"])
async def test_a_task_that_is_cancelled_natively(shape, kind, where):
    if anyio_is_trio():
        pytest.skip("trio has scopes only")
    source = Source()
    begun = anyio.Event()

    async def consume() -> None:
        async with shape(source.stream(kind)) as items:
            async for _ in items:
                begun.set()
                if where == "in the block":
                    await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert source.closed


@pytest.mark.parametrize("fn", [boom, boom_later])
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_an_error_of_a_stage_comes_as_it_is_behind_the_items_before_it(
    shape, kind, fn, concurrency
):
    source = Source()
    got = []
    stream = shape(source.stream(kind)).map(fn, concurrency=concurrency)
    number = repr(stream).count("|")
    with pytest.raises(KeyError) as caught:
        async with stream as items:
            async for item in items:
                got.append(item)  # noqa: PERF401 - what came before the error counts
    assert type(caught.value) is KeyError
    (note,) = caught.value.__notes__
    assert note.startswith(f"penstock: raised in stage {number} map({fn.__name__}), item ")
    if "ordered=False" not in str(shape) and shape is not SHAPES["unordered"]:
        assert got == list(range(1, 20))
        assert note.endswith("item 20")
    assert source.closed


@pytest.mark.parametrize("ordered", [False, True])
async def test_no_call_is_begun_after_an_error(ordered):
    begun = []
    release = anyio.Event()

    async def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            await release.wait()
        if item == 2:
            raise KeyError(item)
        return item

    source = Source().stream("plain")
    async with source.map(work, concurrency=2, ordered=ordered) as run:
        for _ in range(200):
            await checkpoint()
        assert begun == [1, 2]
        release.set()
        with pytest.raises(KeyError):
            while True:
                await anext(run)
    assert begun == [1, 2]


async def test_an_error_of_the_source(shape, kind):
    source = Source(fails_at=8)
    got = []
    with pytest.raises(ConnectionResetError) as caught:
        async with shape(source.stream(kind)) as items:
            async for item in items:
                got.append(item)  # noqa: PERF401 - what came before the error counts
    assert sorted(got) == list(range(1, 8))
    (note,) = caught.value.__notes__
    assert note.startswith("penstock: raised in stage 0 from_iterable(")
    assert note.endswith("item 8")


@pytest.mark.parametrize("sink_is_async", [False, True])
async def test_an_error_of_the_sink(shape, kind, sink_is_async):
    source = Source()

    def sink(item: int) -> None:
        if item == 9:
            raise BrokenPipeError("nobody reads")

    async def sink_later(item: int) -> None:
        await checkpoint()
        sink(item)

    stream = shape(source.stream(kind))
    with pytest.raises(BrokenPipeError) as caught:
        await stream.to(sink_later if sink_is_async else sink)
    assert caught.value.__notes__[0].startswith("penstock: raised in sink to(sink")
    assert source.closed
    written = stream.statistics().stages[-1].items_out
    assert written == 8 or shape is SHAPES["unordered"]


async def test_an_error_of_the_receiver_of_dropped_items():
    def receiver(item: int, error: Exception) -> None:
        raise OSError("quarantine is full") from error

    stream = Stream.from_iterable(range(30)).map(boom, on_error=receiver)
    with pytest.raises(OSError, match="quarantine is full") as caught:
        await stream.collect()
    assert isinstance(caught.value.__cause__, KeyError)
    assert stream.statistics().dropped == 0


async def test_an_error_while_closing_is_not_lost():
    async def items() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise OSError("cannot close")

    with pytest.raises(OSError, match="cannot close") as caught:
        async with Stream.from_iterable(items()) as run:
            await anext(run)
    (note,) = caught.value.__notes__
    assert note.endswith("stage 0 from_iterable(async_generator), closing")
    with pytest.raises(ZeroDivisionError) as first:
        async with Stream.from_iterable(items()) as run:
            await anext(run)
            1 / 0  # noqa: B018
    (note,) = first.value.__notes__
    assert "closing failed as well: OSError('cannot close')" in note


async def test_a_wait_that_is_cancelled_loses_no_item():
    turn = anyio.Event()

    async def items() -> AsyncIterator[int]:
        for number in range(6):
            if number == 3:
                await turn.wait()
            yield number

    got = []
    async with Stream.from_iterable(items()).buffer(2).map(lambda x: x) as run:
        for _ in range(3):
            got.append(await anext(run))  # noqa: PERF401 - one by one is the point
        for _ in range(5):
            with anyio.move_on_after(0):
                got.append(await anext(run))
        turn.set()
        got += [item async for item in run]
    assert got == [0, 1, 2, 3, 4, 5]


async def test_a_cancel_inside_a_stage_ends_the_run_aloud():
    scope = anyio.CancelScope()

    async def never(item: int) -> int:
        scope.cancel()
        await anyio.sleep_forever()
        return item

    async with Stream.from_iterable([1, 2]).map(never) as run:
        with scope:
            await anext(run)
        assert scope.cancelled_caught
        with pytest.raises(Closed, match=r"stage 1 map\(never\) was cancelled inside its function"):
            await anext(run)


async def test_a_cancelled_async_source_does_not_look_finished():
    scope = anyio.CancelScope()

    async def never() -> AsyncIterator[int]:
        yield 1
        scope.cancel()
        await anyio.sleep_forever()
        yield 2

    async with Stream.from_iterable(never()) as run:
        assert await anext(run) == 1
        with scope:
            await anext(run)
        assert scope.cancelled_caught
        with pytest.raises(Closed, match="at item 2"):
            await anext(run)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_call_that_lets_out_the_cancel_of_something_else(concurrency):
    if anyio_is_trio():
        pytest.skip("only asyncio lets a cancel out of its task")

    async def work(item: int) -> int:
        if item == 3:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return item

    got = []
    stream = Stream.from_iterable(range(1, 9)).map(work, concurrency=concurrency).buffer(1)
    with pytest.raises(Lost, match=r"map\(work\).* cancelled"):
        async with stream as run:
            async for item in run:
                got.append(item)  # noqa: PERF401 - what came before the error counts
    assert got == [1, 2]


@pytest.mark.parametrize("buffered", [False, True])
def test_ctrl_c_in_a_stage_comes_through_as_itself(anyio_backend, buffered):
    source = Source()

    def interrupted(item: int) -> int:
        raise KeyboardInterrupt

    async def main() -> None:
        stream = source.stream("async").map(interrupted)
        await (stream.buffer(1) if buffered else stream).count()

    name, options = anyio_backend
    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=name, backend_options=options)
    assert source.closed


async def test_after_the_block_there_is_nothing_to_read():
    stream = Stream.from_iterable(range(5))
    async with stream as run:
        assert await anext(run) == 0
    with pytest.raises(Closed, match="the stream's block has been left"):
        while True:
            await anext(run)


async def test_a_reader_in_another_task_is_not_left_waiting():
    waiting = anyio.Event()
    seen: list[BaseException] = []

    async def never() -> AsyncIterator[int]:
        waiting.set()
        await anyio.sleep_forever()
        yield 1

    async def read(run: Run[int]) -> None:
        try:
            async for _ in run:
                pass
        except Closed as error:
            seen.append(error)

    async with (
        anyio.create_task_group() as group,
        Stream.from_iterable(never()).buffer(1) as run,
    ):
        group.start_soon(read, run)
        await waiting.wait()
        while run.statistics().stages[-1].waiting != "upstream":
            await checkpoint()
    (error,) = seen
    assert "the stream was left before its end" in str(error)


async def test_two_readers_are_refused():
    async def never() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 1

    async with (
        Stream.from_iterable(never()).buffer(1) as run,
        anyio.create_task_group() as group,
    ):
        group.start_soon(anext, run)
        while run.statistics().stages[-1].waiting != "upstream":
            await checkpoint()
        with pytest.raises(Misuse, match="two tasks iterate"):
            await anext(run)
        group.cancel_scope.cancel()


async def test_one_run_at_a_time_and_then_another():
    stream = Stream.from_iterable([1, 2, 3])
    async with stream as run:
        assert await anext(run) == 1
        with pytest.raises(Misuse, match=r"run already: from_iterable\(list\)"):
            await stream.collect()
    assert await stream.collect() == [1, 2, 3]
    assert await stream.collect() == [1, 2, 3]


async def test_an_iterator_gives_one_run():
    stream = Stream.from_iterable(iter([1, 2, 3]))
    assert await stream.collect() == [1, 2, 3]
    with pytest.raises(Misuse, match=r"list_iterator given to .* was used up"):
        await stream.map(str).collect()


async def test_a_stream_that_is_dropped_unread_leaves_nothing():
    stream = Stream.from_iterable(Source().items()).buffer(1).map(slow, concurrency=2)
    del stream
    gc.collect()
