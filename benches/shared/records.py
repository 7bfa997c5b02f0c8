"""Records from a C program to Python, 64 bytes each, in batches.

What is kept of a batch is its length and its first, middle and last record: memory for all of them
would cost this process more than the queue does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap, Work
from benches.shared.compiled import compiled
from benches.shared.peers import BATCH

SIZE = 64

Kept = tuple[int, bytes, bytes, bytes]
GetMany = Callable[[], list[bytes]]


def record(number: int) -> bytes:
    return number.to_bytes(8, "little") + bytes([number & 0xFF]) * (SIZE - 8)


def all_came(n: int, answer: list[Kept]) -> bool:
    begin = 0
    for length, first, middle, last in answer:
        due = (begin, begin + length // 2, begin + length - 1)
        if (first, middle, last) != tuple(record(number) for number in due):
            return False
        begin += length
    return begin == n


@contextmanager
def written(program: Path, way: str, fd: int) -> Iterator[Callable[[int], None]]:
    """The C program, which writes as many records as it is told to."""
    with subprocess.Popen([program, way, str(fd)], stdin=subprocess.PIPE, pass_fds=[fd]) as process:
        assert process.stdin is not None
        line = process.stdin

        def begin(n: int) -> None:
            line.write(n.to_bytes(8, "little"))
            line.flush()

        yield begin
        line.close()


def taken(begin: Callable[[int], None], get_many: GetMany) -> Work:
    def work(n: int) -> Lap:
        kept: list[Kept] = []
        left = n
        started = perf_counter_ns()
        begin(n)
        while left:
            batch = get_many()
            length = len(batch)
            kept.append((length, batch[0], batch[length // 2], batch[-1]))
            left -= length
        return Lap.since(started, kept)

    return work


@contextmanager
def piped() -> Iterator[Work]:
    reading, writing = os.pipe()
    with compiled("records.c") as program, written(program, "pipe", writing) as begin:
        os.close(writing)
        rest = b""

        def get_many() -> list[bytes]:
            nonlocal rest
            content = rest
            while len(content) < SIZE:
                content += os.read(reading, BATCH * SIZE)
            whole = len(content) - len(content) % SIZE
            rest = content[whole:]
            return [content[start : start + SIZE] for start in range(0, whole, SIZE)]

        yield taken(begin, get_many)
    os.close(reading)


PIPE: Any = Contender(
    "pipe",
    f"floor: `write` of {BATCH} records in C, `os.read` of as many here, cut into `bytes`",
    piped,
)
