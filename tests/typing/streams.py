"""Each operator's item type follows from the one before and its function."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from penstock import Stream, Transform


async def number(line: str) -> int:
    return int(line)


class Lengths(Transform[str, int]):
    def transform(self, chunk: str) -> int:
        return len(chunk)


async def through_stages() -> None:
    blocks = Stream.from_file(Path("numbers.txt"))
    assert_type(blocks, Stream[bytes])
    lines = blocks.lines()
    assert_type(lines, Stream[str])
    numbers = lines.map(number, concurrency=4)
    assert_type(numbers, Stream[int])
    assert_type(lines.map(len), Stream[int])
    assert_type(numbers.filter(bool).take(9).skip(1).buffer(64), Stream[int])
    assert_type(numbers.batch(3), Stream[list[int]])
    assert_type(lines.flat_map(str.split), Stream[str])

    assert_type(lines.through(Lengths()), Stream[int])
    assert_type(lines.through(Lengths), Stream[int])
    numbers.through(Lengths())  # type: ignore[arg-type]

    assert_type(await numbers.collect(), list[int])
    assert_type(await numbers.count(), int)
    assert_type(await numbers.reduce(lambda total, value: total + value, 0.0), float)
    async with numbers as items:
        async for item in items:
            assert_type(item, int)

    Stream.from_iterable([1]).lines()  # type: ignore[misc]
    lines.map(abs)  # type: ignore[arg-type]
