"""What a run counts, while it runs and after it."""

from __future__ import annotations

import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock import Stream
from penstock.streams import RunStatistics

pytestmark = pytest.mark.anyio


def counts(seen: RunStatistics) -> dict[str, tuple[int, int, int]]:
    return {s.name: (s.items_in, s.items_out, s.dropped) for s in seen.stages}


async def test_every_stage_is_counted():
    def number(text: str) -> int:
        return int(text)

    def positive(item: int) -> bool:
        return item > 0

    stream = (
        Stream.from_iterable([b"1\n2\nx\n", b"-4\n\xff\n", b"6\n7"])
        .lines(on_error="skip")
        .map(number, on_error="skip")
        .filter(positive)
        .skip(1)
        .batch(2)
    )
    before = stream.statistics()
    assert counts(before) == dict.fromkeys(counts(before), (0, 0, 0))
    assert await stream.collect() == [[2, 6], [7]]
    seen = stream.statistics()
    assert counts(seen) == {
        "from_iterable(list)": (0, 3, 0),
        "lines": (3, 6, 1),
        "map(number)": (6, 5, 1),
        "filter(positive)": (5, 4, 0),
        "skip(1)": (4, 3, 0),
        "batch(2)": (3, 2, 0),
    }
    assert (seen.read, seen.dropped) == (7, 2)
    assert list(counts(before)) == list(counts(seen))
    later = stream.statistics()
    assert later.seconds == seen.seconds > 0
    with pytest.raises(KeyError):
        seen.stage("nothing")


async def test_dropped_by_concurrent_calls_is_counted():
    async def odd(item: int) -> int:
        await checkpoint()
        return 1 // (item % 2)

    stream = Stream.from_iterable(range(100)).map(odd, concurrency=5, on_error="skip")
    assert await stream.count() == 50
    assert counts(stream.statistics())["map(odd)"] == (100, 50, 50)


async def test_it_says_who_waits_for_whom():
    gate = anyio.Event()

    async def gated():
        yield 1
        await gate.wait()
        yield 2

    async def until(run, expected: dict[str, str | None]) -> RunStatistics:
        while True:
            seen = run.statistics()
            if {s.name: s.waiting for s in seen.stages} == expected:
                return seen
            await checkpoint()

    source, buffer = "from_iterable(async_generator)", "buffer(3)"
    async with Stream.from_iterable(gated()).buffer(3) as run:
        with anyio.fail_after(30):
            seen = await until(run, {source: "upstream", buffer: "downstream"})
            assert seen.stage(buffer).buffered == 1
            gate.set()
            assert [item async for item in run] == [1, 2]
    async with Stream.from_iterable(range(100)).buffer(3) as run:
        source = "from_iterable(range)"
        with anyio.fail_after(30):
            while run.statistics().stage(buffer).buffered < 3:
                await checkpoint()
            seen = await until(run, {source: "downstream", buffer: "downstream"})
            assert seen.stage(buffer).buffered == 3


async def test_calls_in_flight_are_seen():
    gate = anyio.Event()

    async def work(item: int) -> int:
        await gate.wait()
        return item

    async with Stream.from_iterable(range(3)).map(work, concurrency=8) as run:
        with anyio.fail_after(30):
            while run.statistics().stage("map(work)").buffered < 3:
                await checkpoint()
            assert run.statistics().stage("map(work)").items_in == 3
            gate.set()
            assert [item async for item in run] == [0, 1, 2]
            assert run.statistics().stage("map(work)").buffered == 0


async def test_a_file_shows_how_far_it_has_been_read(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"123456789\n" * 10_000)
    progress = []
    stream = Stream.from_file(path, chunk_size=10_000).lines()

    def look(_line: str) -> None:
        seen = stream.statistics()
        progress.append(seen.bytes_read / seen.bytes_total)

    assert (await stream.to(look)).read == 10_000
    assert progress == sorted(progress)
    assert progress[0] == 0.1
    assert progress[-1] == 1.0


async def test_another_thread_may_look():
    stream = Stream.from_iterable(range(200_000)).map(lambda x: x).buffer(64)
    looked = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            looked.append(stream.statistics().stage("buffer(64)").items_out)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        assert await stream.count() == 200_000
    finally:
        done.set()
        thread.join()
    assert looked == sorted(looked)
