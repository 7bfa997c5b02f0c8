"""What operators refuse, when they are given it; and what they do with time and partial lists."""

from __future__ import annotations

import functools

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock import Queue, Stream
from penstock.errors import Misuse

pytestmark = pytest.mark.anyio

NUMBERS = Stream.from_iterable([1, 2, 3])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NUMBERS.map(3), r"stage 1 map: fn must be callable, got 3 \(int\)"),
        (lambda: NUMBERS.map(str).filter(None), r"stage 2 filter: fn must be callable, got None"),
        (lambda: NUMBERS.flat_map("x"), r"stage 1 flat_map: fn must be callable, got 'x'"),
        (lambda: NUMBERS.map(str, concurrency=0), r"stage 1 map: concurrency .* got 0"),
        (lambda: NUMBERS.map(str, concurrency=2.0), r"concurrency .* got 2\.0 \(float\)"),
        (lambda: NUMBERS.map(str, concurrency=True), r"concurrency .* got True"),
        (lambda: NUMBERS.map(str, on_error="ignore"), r"stage 1 map: on_error .* got 'ignore'"),
        (lambda: NUMBERS.filter(str, on_error=None), r"stage 1 filter: on_error .* got None"),
        (lambda: NUMBERS.batch(0), r"stage 1 batch: size .* at least 1, got 0"),
        (lambda: NUMBERS.batch(2, within=0), r"stage 1 batch: within .* above 0, got 0"),
        (lambda: NUMBERS.batch(2, within=float("nan")), r"stage 1 batch: within .* got nan"),
        (lambda: NUMBERS.buffer(-1), r"stage 1 buffer: max_items .* at least 1, got -1"),
        (lambda: NUMBERS.take(-1), r"stage 1 take: count .* at least 0, got -1"),
        (lambda: NUMBERS.skip(None), r"stage 1 skip: count .* got None \(NoneType\)"),
        (lambda: NUMBERS.lines(max_bytes=0), r"stage 1 lines: max_bytes .* got 0"),
        (lambda: NUMBERS.lines(on_error=7), r"stage 1 lines: on_error .* got 7"),
        (lambda: Stream.from_iterable(3), r"from_iterable: cannot iterate over 3 \(int\)"),
        (lambda: Stream.from_iterable([], chunk_size=0), r"from_iterable: chunk_size .* got 0"),
        (lambda: Stream.from_file("x", chunk_size=-1), r"from_file: chunk_size .* got -1"),
        (lambda: Stream.from_file(b"x"), r"from_file: path must be a str or .* got b'x'"),
    ],
)
def test_refused_when_it_is_given(build, message):
    with pytest.raises(Misuse, match=message) as caught:
        build()
    assert caught.value.hint


def test_operators_leave_the_stream_as_it_was():
    doubled = NUMBERS.map(lambda x: 2 * x)
    assert repr(NUMBERS) == "from_iterable(list)"
    assert repr(doubled.take(1)) == "from_iterable(list) | map(<lambda>) | take(1)"
    assert repr(doubled) == "from_iterable(list) | map(<lambda>)"


async def test_a_partial_of_an_async_method_is_awaited():
    class Pool:
        async def run(self, fn, item):
            await checkpoint()
            return fn(item)

    stream = Stream.from_iterable(range(20))
    work = functools.partial(Pool().run, str)
    expected = [str(n) for n in range(20)]
    assert await stream.map(work).collect() == expected
    assert await stream.map(work, concurrency=4).collect() == expected


async def test_a_plain_function_that_returns_awaitables_is_found_out():
    async def work(item):
        await checkpoint()
        return str(item)

    def start(item):
        return work(item)

    stream = Stream.from_iterable(range(20))
    expected = [str(n) for n in range(20)]
    assert await stream.map(start).collect() == expected
    assert await stream.map(start, concurrency=4).collect() == expected
    assert await stream.filter(lambda n: work(n if n > 9 else "")).collect() == list(range(10, 20))


async def test_a_quiet_stream_hands_on_what_it_has_in_time():
    quiet = anyio.Event()

    async def items():
        for number in range(5):
            yield number
        await quiet.wait()
        yield 5

    async with Stream.from_iterable(items()).batch(3, within=0.3) as run:
        with anyio.fail_after(30):
            assert await anext(run) == [0, 1, 2]
            before = anyio.current_time()
            assert await anext(run) == [3, 4]
            assert anyio.current_time() - before >= 0.25
            quiet.set()
            assert [batch async for batch in run] == [[5]]


async def test_a_full_batch_does_not_wait():
    async with Stream.from_iterable(range(100)).batch(10, within=3600.0) as run:
        with anyio.fail_after(30):
            assert [len(batch) async for batch in run] == [10] * 10


async def test_a_stop_iteration_in_a_function_is_an_error_and_no_end():
    def exhausted(item):
        return next(iter(()))

    for build in (
        NUMBERS.map,
        NUMBERS.filter,
        NUMBERS.flat_map,
        functools.partial(NUMBERS.map, concurrency=2),
    ):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await build(exhausted).collect()


async def test_sequences_by_index_alone_are_iterable():
    class Old:
        def __getitem__(self, index):
            return [1, 2, 3][index]

    assert await Stream.from_iterable(Old()).collect() == [1, 2, 3]


async def test_a_queue_gives_what_is_there_and_keeps_what_is_not_wanted(anyio_backend):
    queue: Queue[int] = Queue()
    queue.put_many(range(10))
    sizes: list[int] = []
    take = queue.aget_many

    class Counted(Queue):
        """A queue that says how many were taken at once."""

        async def aget_many(self, max=256, min=1, timeout=None):
            items = await take(max, min, timeout)
            sizes.append(len(items))
            return items

    stream = Stream.from_iterable(Counted())
    assert await stream.take(4).collect() == [0, 1, 2, 3]
    assert queue.qsize() == 6
    queue.shutdown()
    assert await stream.collect() == [4, 5, 6, 7, 8, 9]
    assert sizes == [4, 6]


async def test_a_stream_over_a_queue_that_is_left_loses_nothing(anyio_backend):
    queue: Queue[int] = Queue()
    with anyio.move_on_after(0.01) as scope:
        await Stream.from_iterable(queue).collect()
    assert scope.cancelled_caught
    queue.put(1)
    assert await Stream.from_iterable(queue).take(1).collect() == [1]
