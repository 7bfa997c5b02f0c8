"""A file of 50 MB, line by line, through three stages: lines, parse, filter."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.streams.stages import BUFFER, END
from benches.units import LINES

COUNT = 780_000  # lines of some 64 bytes
CHUNK = 256 * 1024


def delay_of(line: str) -> int:
    """The fourth field, minutes."""
    return int(line.split(",", 4)[3])


def is_late(delay: int) -> bool:
    return delay > 15


@cache
def departures() -> Path:
    """The file, made once in a process and removed at its end."""
    folder = TemporaryDirectory(prefix="penstock-bench-")
    atexit.register(folder.cleanup)
    path = Path(folder.name, "departures.csv")
    with path.open("w") as file:
        file.writelines(
            f"{number:07d},2013-06-{number % 30 + 1:02d},EWR,{number % 60:02d},"
            "a departure with a remark of some length\n"
            for number in range(COUNT)
        )
    return path


@contextmanager
def counted(flow: Callable[[Path], Awaitable[int]]) -> Iterator[Work]:
    path = departures()

    async def lap(n: int) -> Lap:
        started = perf_counter_ns()
        answer = [await flow(path) for _ in range(n // COUNT)]
        return Lap.since(started, answer)

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


async def penstock_lines(path: Path) -> int:
    from penstock import Stream

    return await Stream.from_file(path).lines().map(delay_of).filter(is_late).count()


async def queue_lines(path: Path) -> int:
    lines: asyncio.Queue[Any] = asyncio.Queue(BUFFER)
    delays: asyncio.Queue[Any] = asyncio.Queue(BUFFER)

    async def read() -> None:
        rest = ""
        with path.open() as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                *whole, rest = (rest + chunk).split("\n")
                for line in whole:
                    await lines.put(line)
        await lines.put(END)

    async def parse() -> None:
        while (line := await lines.get()) is not END:
            await delays.put(delay_of(line))
        await delays.put(END)

    late = 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        tasks.create_task(parse())
        while (delay := await delays.get()) is not END:
            late += is_late(delay)
    return late


async def plain_lines(path: Path) -> int:
    late = 0
    with path.open() as file:
        for line in file:
            late += is_late(delay_of(line))
    return late


def all_late(n: int, answer: list[int]) -> bool:
    # Of every sixty numbers, 16 to 59 are late.
    return answer == [COUNT // 60 * 44] * (n // COUNT)


CASES = (
    Case(
        room="streams",
        name="lines",
        question="How many lines a second of a 50 MB file pass three stages?",
        contenders=[
            Contender(
                "penstock.Stream",
                "`from_file(...).lines().map(...).filter(...).count()`",
                partial(counted, penstock_lines),
                "penstock",
            ),
            Contender(
                "asyncio.Queue",
                f"a task for each stage, queues of {BUFFER}, chunks of 256 KiB read by `to_thread`",
                partial(counted, queue_lines),
            ),
            Contender(
                "a plain loop",
                "`for line in file`; blocks the event loop from the first line to the last",
                partial(counted, plain_lines),
            ),
        ],
        is_right=all_late,
        figures=[rate(LINES)],
        targets=[Target(2.5, "asyncio.Queue")],
        least=COUNT,
    ),
)
