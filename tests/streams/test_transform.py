"""`Transform`: Node's stage, with its high-water mark in items or bytes."""

from __future__ import annotations

import zlib

import anyio
import pytest

from penstock import Stream, Transform
from penstock.errors import Misuse


class Upper(Transform[str, str]):
    def transform(self, chunk):
        return chunk.upper()


class Sums(Transform[int, int]):
    """The sum of every two, and what is left over."""

    def __init__(self, **options):
        super().__init__(**options)
        self.held = []
        self.closed = 0

    def transform(self, chunk):
        self.held.append(chunk)
        if len(self.held) == 2:
            self.push(sum(self.held))
            self.held.clear()

    def flush(self):
        return sum(self.held) if self.held else None

    def close(self):
        self.closed += 1


class AsyncSums(Sums):
    async def transform(self, chunk):
        await anyio.lowlevel.checkpoint()
        super().transform(chunk)

    async def flush(self):
        await anyio.lowlevel.checkpoint()
        return super().flush()

    async def close(self):
        await anyio.lowlevel.checkpoint()
        super().close()


class Twice(Transform[int, int]):
    def transform(self, chunk):
        yield chunk
        yield chunk

    async def flush(self):
        yield -1
        await anyio.lowlevel.checkpoint()
        yield -2


async def test_a_chunk_becomes_what_is_returned():
    assert await Stream.from_iterable("abc").through(Upper()).collect() == ["A", "B", "C"]


@pytest.mark.parametrize("mark", [0, 1, 2, 16])
@pytest.mark.parametrize("kind", [Sums, AsyncSums])
async def test_it_remembers_pushes_and_flushes(kind, mark):
    sums = kind(high_water_mark=mark)
    assert await Stream.from_iterable(range(7)).through(sums).collect() == [1, 5, 9, 6]
    assert sums.closed == 1


async def test_generators_give_several_and_are_read_as_they_are_wanted():
    assert await Stream.from_iterable([1, 2]).through(Twice).collect() == [1, 1, 2, 2, -1, -2]

    class Endless(Transform[int, int]):
        high_water_mark = 0

        def transform(self, chunk):
            while True:
                yield chunk

    assert await Stream.from_iterable([7]).through(Endless).take(3).collect() == [7, 7, 7]


async def test_flush_comes_also_after_nothing():
    assert await Stream.from_iterable([]).through(Twice).collect() == [-1, -2]


async def test_the_class_serves_any_number_of_runs_an_object_one():
    stream = Stream.from_iterable([1, 2, 3]).through(Sums)
    assert [await stream.collect() for _ in range(2)] == [[3, 3], [3, 3]]
    stream = Stream.from_iterable([1, 2, 3]).through(Sums())
    await stream.collect()
    with pytest.raises(Misuse, match="this Sums has served a run, and remembers it"):
        await stream.collect()


@pytest.mark.parametrize("mark", [0, 1, 4, 16])
async def test_it_runs_ahead_by_its_mark_in_items(mark):
    begun = []

    class Counting(Transform[int, int]):
        def transform(self, chunk):
            begun.append(chunk)
            return chunk

    stream = Stream.from_iterable(range(1000), chunk_size=1).through(Counting(high_water_mark=mark))
    async with stream as items:
        assert await anext(items) == 0
        await standstill(lambda: len(begun))
        # What is taken, what waits, and the list in hand.
        assert mark <= len(begun) <= 1 + 2 * max(mark, 1)


async def standstill(value):
    """Until it has not changed for so many turns of the loop that nothing can be under way."""
    before, since = value(), 0
    while since < 100:
        await anyio.lowlevel.checkpoint()
        now = value()
        before, since = (before, since + 1) if now == before else (now, 0)


class Chunks(Transform[bytes, bytes]):
    object_mode = False
    high_water_mark = 1000

    def __init__(self):
        self.begun = 0

    def transform(self, chunk):
        self.begun += len(chunk)
        return chunk


@pytest.mark.parametrize("size", [1, 300, 1000, 5000])
async def test_it_runs_ahead_by_its_mark_in_bytes(size):
    chunks = Chunks()
    stream = Stream.from_iterable([b"x" * size] * 3000).through(chunks)
    async with stream as items:
        taken = 0
        async for chunk in items:
            taken += len(chunk)
            if taken < 20 * size:
                continue
            await standstill(lambda: chunks.begun)
            assert chunks.begun - taken <= max(1000, size) + size
            if taken >= 40 * size:
                break
        assert chunks.begun - taken >= min(1000, size)


async def test_bytes_come_through_whole():
    class Deflate(Transform[bytes, bytes]):
        object_mode = False
        high_water_mark = 512

        def __init__(self):
            self.deflate = zlib.compressobj()

        def transform(self, chunk):
            return self.deflate.compress(chunk) or None

        def flush(self):
            return self.deflate.flush()

    data = [bytes([n % 251]) * 777 for n in range(500)]
    packed = await Stream.from_iterable(data).through(Deflate).collect()
    assert zlib.decompress(b"".join(packed)) == b"".join(data)


async def test_push_says_whether_there_is_room():
    said = []

    class Many(Transform[int, int]):
        high_water_mark = 3

        def transform(self, chunk):
            said.extend(self.push(chunk) for _ in range(4))

    assert await Stream.from_iterable([7]).through(Many).collect() == [7] * 4
    assert said == [True, True, False, False]

    class Bytes(Chunks):
        def transform(self, chunk):
            said.extend(self.push(chunk) for _ in range(3))

    said.clear()
    await Stream.from_iterable([b"x" * 400]).through(Bytes).collect()
    assert said == [True, True, False]


@pytest.mark.parametrize("kind", [Sums, AsyncSums])
async def test_push_outside_of_a_call_is_refused(kind):
    kept = kind()
    with pytest.raises(Misuse, match=r"Sums.push\(\) was called outside"):
        kept.push(1)
    await Stream.from_iterable([1, 2]).through(kept).collect()
    with pytest.raises(Misuse, match=r"Sums.push\(\) was called outside"):
        kept.push(1)


@pytest.mark.parametrize("mark", [0, 16])
async def test_an_error_comes_behind_what_was_before_it(mark):
    class Fails(Sums):
        def transform(self, chunk):
            if chunk == 4:
                self.push(-1)
                raise LookupError("four")
            return chunk

    fails = Fails(high_water_mark=mark)
    got = []
    with pytest.raises(LookupError) as caught:
        async with Stream.from_iterable(range(9)).through(fails) as items:
            async for item in items:
                got.append(item)  # noqa: PERF401
    assert got == [0, 1, 2, 3]
    assert "penstock: raised in stage 1 Fails, item 5" in caught.value.__notes__
    assert fails.closed == 1
    dead = []
    stream = Stream.from_iterable(range(6)).through(
        Fails(high_water_mark=mark), on_error=lambda item, error: dead.append((item, str(error)))
    )
    assert await stream.collect() == [0, 1, 2, 3, 5]
    assert dead == [(4, "four")]
    assert stream.statistics().dropped == 1


async def test_an_error_of_flush_ends_the_run_whatever_on_error_says():
    class Fails(Sums):
        def flush(self):
            raise LookupError("at the end")

    fails = Fails()
    with pytest.raises(LookupError) as caught:
        await Stream.from_iterable(range(4)).through(fails, on_error="skip").collect()
    assert "penstock: raised by flush" in caught.value.__notes__
    assert fails.closed == 1


@pytest.mark.parametrize("kind", [Sums, AsyncSums])
@pytest.mark.parametrize("mark", [0, 4])
async def test_it_is_closed_once_when_the_run_is_left(kind, mark):
    sums = kind(high_water_mark=mark)
    async with Stream.from_iterable(range(100)).through(sums) as items:
        await anext(items)
    assert sums.closed == 1


async def test_a_cancelled_wait_loses_no_chunk():
    send, receive = anyio.create_memory_object_stream[bytes](10)
    got = []
    async with receive, Stream.from_iterable(receive).through(Chunks) as items:
        with anyio.CancelScope(deadline=anyio.current_time() + 0.02):
            await anext(items)
        for n in range(5):
            await send.send(bytes([n]))
        send.close()
        got += [item async for item in items]
    assert got == [bytes([n]) for n in range(5)]


async def test_what_is_no_transform_is_refused_at_once():
    stream = Stream.from_iterable([1])
    for wrong in (None, 7, str, object()):
        with pytest.raises(Misuse, match="stage 1 through: no Transform"):
            stream.through(wrong)
    for mark in (-1, 1.5, True):
        with pytest.raises(Misuse, match="Sums: high_water_mark must be"):
            Sums(high_water_mark=mark)
    with pytest.raises(Misuse, match="on_error must be"):
        stream.through(Sums(), on_error="ignore")
    with pytest.raises(TypeError):
        Transform()


async def test_what_has_no_length_cannot_be_counted_in_bytes():
    with pytest.raises(TypeError):
        await Stream.from_iterable([1, 2]).through(Chunks).collect()


def test_the_pipeline_says_what_it_is():
    stream = Stream.from_iterable([1]).through(Sums()).through(Chunks)
    assert repr(stream) == (
        "from_iterable(list) | Sums | high_water_mark(16) | Chunks | high_water_mark(1,000 bytes)"
    )
