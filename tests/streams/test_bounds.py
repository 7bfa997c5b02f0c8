"""Memory is bounded: a source is read no further than the stated bounds, whatever stands still."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock import Stream
from penstock.streams.pace import SECONDS

pytestmark = pytest.mark.anyio


class Counted:
    """An endless source that knows how far it has been read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.read += 1
            yield self.read

    async def one_by_one(self) -> AsyncIterator[int]:
        for item in self:
            await checkpoint()
            yield item

    async def settled(self) -> int:
        """Return how far it is read once nothing has moved for many turns of the loop."""
        still, last = 0, -1
        while still < 300:
            await checkpoint()
            still = still + 1 if self.read == last else 0
            last = self.read
        return last


async def stay(item: object) -> object:
    await anyio.sleep_forever()
    return item


async def same(item: object) -> object:
    await checkpoint()
    return item


@pytest.mark.parametrize(
    ("build", "bound"),
    [
        # In the consumer's hands; in the queue, in the feeder's hands.
        pytest.param(lambda s: s, 1024, id="fused"),
        pytest.param(lambda s: s.buffer(10), 10 + 20, id="buffer"),
        pytest.param(lambda s: s.buffer(10).buffer(5), 5 + 10 + 20, id="two buffers"),
        pytest.param(lambda s: s.map(lambda x: x).buffer(10).map(lambda x: x), 30, id="fused on"),
        pytest.param(lambda s: s.batch(7, within=60.0), 7 + 14, id="timed batch"),
        # In our hands 4, waiting to be taken 4, with the workers 4, before them 4, with the
        # feeder 4; ordered: begun and not handed over 8.
        pytest.param(lambda s: s.map(same, concurrency=4, ordered=False), 20, id="unordered"),
        pytest.param(lambda s: s.map(same, concurrency=4), 28, id="ordered"),
    ],
)
@pytest.mark.parametrize("one_by_one", [False, True])
async def test_a_consumer_that_stops_stops_the_source(build, bound, one_by_one):
    source = Counted()
    items = source.one_by_one() if one_by_one else source
    async with build(Stream.from_iterable(items)) as stream:
        assert await anext(stream)
        read = await source.settled()
        assert read <= bound
        again = await source.settled()
        assert again == read


@pytest.mark.parametrize("ordered", [False, True])
async def test_no_more_calls_are_in_flight_than_allowed(ordered):
    running = highest = 0

    async def work(item: int) -> int:
        nonlocal running, highest
        running += 1
        highest = max(highest, running)
        for _ in range(item % 5):
            await checkpoint()
        running -= 1
        return item

    stream = Stream.from_iterable(range(300)).map(work, concurrency=6, ordered=ordered)
    assert await stream.count() == 300
    assert highest == 6


async def test_a_slow_head_holds_back_a_bounded_number_of_calls():
    begun = []
    release = anyio.Event()

    async def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            await release.wait()
        return item

    source = Counted()

    async def let_go() -> None:
        await source.settled()
        assert len(begun) == 6  # twice the concurrency, the head included
        release.set()

    async with (
        Stream.from_iterable(source).map(work, concurrency=3) as stream,
        anyio.create_task_group() as group,
    ):
        group.start_soon(let_go)
        assert [await anext(stream) for _ in range(20)] == list(range(1, 21))


async def test_calls_that_never_return_hold_back_the_source():
    source = Counted()
    async with anyio.create_task_group() as group:

        async def consume() -> None:
            await Stream.from_iterable(source).map(stay, concurrency=4).count()

        group.start_soon(consume)
        while not source.read:
            await checkpoint()
        assert await source.settled() <= 12
        group.cancel_scope.cancel()


@pytest.mark.parametrize("count", [0, 1, 7])
async def test_take_asks_for_no_more_than_it_needs(count):
    source = Counted()
    called = []
    stream = Stream.from_iterable(source).map(called.append).take(count)
    assert await stream.count() == count
    assert source.read == len(called) == count
    source.read = 0
    assert await Stream.from_iterable(source).skip(3).batch(2).take(count).count() == count
    assert source.read == (3 + 2 * count if count else 0)


async def test_an_expansion_without_end_is_read_as_it_is_needed():
    source = Counted()
    stream = Stream.from_iterable([None]).flat_map(lambda _: source).take(5)
    assert await stream.collect() == [1, 2, 3, 4, 5]
    assert source.read == 5


async def test_a_large_file_takes_little_memory(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b"0123456789" * 100_000 + b"\n")  # lines of 1 MB, 64 MB in all
    stream = Stream.from_file(path).lines().map(len).buffer(16)
    tracemalloc.start()
    try:
        assert await stream.reduce(lambda total, n: total + n, 0) == 64_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Blocks of 256 KiB, and a line as its parts, as bytes and as text.
    assert peak < 8_000_000


async def test_an_archive_that_unpacks_to_much_takes_little_memory(tmp_path):
    import gzip

    path = tmp_path / "bomb"
    with gzip.open(path, "wb") as file:
        for _ in range(64):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        seen = await Stream.from_file(path, chunk_size=10_000).map(len).reduce(int.__add__, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == 64_000_000
    assert peak < 2_000_000


def take_time() -> None:
    """Use the processor for as long as a slice of work takes, on any machine."""
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        pass


async def test_slices_let_the_loop_run_even_between_dear_calls():
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    def dear(item: int) -> int:
        take_time()
        return item

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        assert await Stream.from_iterable(range(100)).map(dear).count() == 100
        group.cancel_scope.cancel()
    assert turns >= 20


async def test_a_function_that_becomes_slow_is_noticed():
    longest = 0

    def sometimes_dear(item: int) -> int:
        nonlocal longest
        longest += 1
        if item > 5000:
            take_time()
        return item

    async def watch() -> None:
        nonlocal longest
        while True:
            highest.append(longest)
            longest = 0
            await checkpoint()

    highest: list[int] = []
    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        stream = Stream.from_iterable(range(5200), chunk_size=5200).map(sometimes_dear)
        assert await stream.to(lambda _: None)
        group.cancel_scope.cancel()
    # 200 dear calls: the first of them at most a round, the rest a few at a time.
    assert len(highest) > 30


async def test_a_cancel_is_seen_between_slices():
    called = 0

    def dear(item: int) -> int:
        nonlocal called
        called += 1
        take_time()
        if called == 5:
            scope.cancel()
        return item

    with anyio.CancelScope() as scope:
        await Stream.from_iterable(range(10_000)).map(dear).count()
    assert scope.cancelled_caught
    assert called < 100


@pytest.mark.parametrize("expansion", ["async function", "async iterable"])
async def test_what_an_expansion_has_given_never_waits_for_the_next(expansion):
    handed = anyio.Event()

    async def function(item: int) -> list[int]:
        if item == 2:
            await handed.wait()
        return [item] * 3

    async def iterable(item: int) -> AsyncIterator[int]:
        for made in await function(item):
            yield made

    build = function if expansion == "async function" else iterable
    async with Stream.from_iterable([1, 2, 3]).flat_map(build) as items:
        with anyio.fail_after(30):
            assert await anext(items) == 1
            handed.set()
            assert [item async for item in items] == [1, 1, 2, 2, 2, 3, 3, 3]


async def test_a_list_that_took_long_to_gather_is_handed_on_first():
    """A ready result never waits for a call that may not return."""
    handed = anyio.Event()

    async def work(item: int) -> int:
        if item == 2:
            await handed.wait()
        return item

    async with Stream.from_iterable([1, 2, 3]).map(work).map(same) as items:
        with anyio.fail_after(30):
            assert await anext(items) == 1
            handed.set()
            assert [item async for item in items] == [2, 3]


def test_pages_of_a_partial_are_named_by_their_function():
    assert repr(Stream.from_iterable([1]).map(partial(pow, 2))) == "from_iterable(list) | map(pow)"
