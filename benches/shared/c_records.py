"""Records of 64 bytes from a C program into Python, in batches, through the C interface."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benches.case import Case, Contender, Target, Work, rate
from benches.shared.compiled import compiled
from benches.shared.peers import BATCH, MAX_BYTES, penstock_queue
from benches.shared.records import PIPE, SIZE, all_came, record, taken, written
from benches.units import ITEMS


@contextmanager
def fed(way: str) -> Iterator[Work]:
    import penstock

    library = Path(penstock.library_path())
    linked = (str(library), f"-Wl,-rpath,{library.parent}")
    with (
        compiled("feed.c", f"-I{penstock.include_dir()}", last=linked) as program,
        penstock_queue(max_bytes=MAX_BYTES) as queue,
        written(program, way, queue.fileno()) as begin,
    ):
        yield taken(begin, lambda: queue.get_many(BATCH))


@contextmanager
def unpacked() -> Iterator[Work]:
    """Nothing comes from anywhere: what Python itself charges for so many `bytes`, in lists."""
    unpack = struct.Struct(f"{SIZE}s" * BATCH).unpack
    number, left = 0, 0

    def begin(n: int) -> None:
        nonlocal number, left
        number, left = 0, n

    # Made before the time counts; a lap that is larger goes through them again from the start.
    blocks = [
        b"".join(map(record, range(first, first + BATCH))) for first in range(0, 1 << 16, BATCH)
    ]

    def get_many() -> list[bytes]:
        nonlocal number, left
        some = list(unpack(blocks[number // BATCH % len(blocks)]))[:left]
        number += len(some)
        left -= len(some)
        return some

    yield taken(begin, get_many)


def all_made(n: int, answer: list[tuple[int, bytes, bytes, bytes]]) -> bool:
    """As `all_came`; the floor's records begin anew every 65,536."""
    begin = 0
    for length, *some in answer:
        due = (begin, begin + length // 2, begin + length - 1)
        if some != [record(number % (1 << 16)) for number in due]:
            return False
        begin += length
    return begin == n


def is_right(n: int, answer: list[tuple[int, bytes, bytes, bytes]]) -> bool:
    return all_came(n, answer) or all_made(n, answer)


TAKEN = f"`get_many({BATCH})` here"

CASES = (
    Case(
        room="shared",
        name="c-records",
        question=f"How many records of {SIZE} bytes a second come from a C program, in batches?",
        contenders=[
            Contender(
                "penstock.h",
                f"`penstock_send_many` of {BATCH} in C, {TAKEN}",
                partial(fed, "send"),
                "penstock",
            ),
            Contender(
                "penstock.h, claimed",
                f"`penstock_claim` and `penstock_commit_many` of {BATCH} in C, {TAKEN}",
                partial(fed, "claim"),
                "penstock",
            ),
            Contender(
                "bytes alone",
                f"floor: lists of {BATCH} `bytes` made by `struct.unpack`, no other process",
                unpacked,
            ),
            PIPE,
        ],
        is_right=is_right,
        figures=[rate(ITEMS)],
        targets=[Target(10e6)],
        least=BATCH * 4,
    ),
)
