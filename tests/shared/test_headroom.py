"""At a control group's memory limit: an error, and the process goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shared.groups import Group, limited

MIB = 1 << 20


@pytest.fixture
def group() -> Iterator[Group]:
    with limited(96 * MIB) as group:
        yield group


def test_an_arena_raises_before_the_limit(group: Group):
    ended = group.run("""
from penstock._native import Arena
MIB = 1 << 20
arena = Arena(1 << 30)
for size in (MIB // 32, MIB // 3, 8 * MIB):
    kept, buffer = [], bytes(size)
    try:
        while True:
            kept.append(arena.pack(b"", [buffer]))
    except MemoryError as error:
        print(error)
    print(len(kept) * size > 32 * MIB, len(kept) * size < 96 * MIB)
    del kept
    assert arena.usage()["held"] == 0
arena.pack(b"", [bytes(8 * MIB)])
""")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[1::2] == ["True True"] * 3, lines
    for refusal in lines[::2]:
        assert f"limited to {96 * MIB}" in refusal, refusal
        assert group.folder.name in refusal, refusal


def test_a_pool_refuses_what_is_too_large_and_goes_on(group: Group):
    ended = group.run("""
import numpy as np
from penstock import WorkerPool

if __name__ == "__main__":
    with WorkerPool(workers=1, max_bytes=1 << 30) as pool:
        assert pool.submit(len, b"abc").result() == 3
        array = np.zeros(1 << 29, "u1")
        try:
            pool.submit(len, array).result()
        except MemoryError as error:
            print(error)
        # So does a result, in the worker.
        try:
            pool.submit(np.zeros, 1 << 28, "u1").result()
        except MemoryError as error:
            print(error)
        assert pool.submit(len, b"abcd").result() == 4
""")
    assert (ended.returncode, ended.stderr) == (0, "")
    argument, result = ended.stdout.splitlines()
    assert f"{1 << 29} bytes wanted" in argument
    assert f"{1 << 28} bytes wanted" in result


def test_a_queue_refuses_before_the_limit_keeps_what_it_has_and_goes_on(group: Group):
    ended = group.run("""
from penstock import SharedArray, SharedQueue
MIB = 1 << 20
for size in (100, 5000, 100_000, 8 * MIB):
    queue = SharedQueue(128 * MIB, arena_bytes=128 * MIB)
    item, count = b"x" * size, 0
    try:
        while True:
            queue.put(item)
            count += 1
    except MemoryError as error:
        print(error)
    print(count * size > 24 * MIB, count * size < 96 * MIB, len(queue) == count)
    # One at a time: what is taken is this process's own memory.
    print(all(queue.get() == item for _ in range(count)), queue.empty())
    # At its beginning the lane has memory still.
    queue.put(item)
    print(queue.get() == item)
    queue.close()

with SharedQueue(128 * MIB, arena_bytes=128 * MIB) as queue:
    born = []
    try:
        while True:
            born.append(SharedArray.empty(MIB, "u1", queue=queue))
            born[-1].fill(7)
    except MemoryError as error:
        print(error)
    print(24 < len(born) < 96)
    queue.put(born.pop(0))
    print(queue.get().min() == 7)
    del born
""")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    refusals = [line for line in lines if "no memory for the queue's pages" in line]
    assert len(refusals) == 5, lines
    for refusal in refusals:
        assert f"limited to {96 * MIB}" in refusal, refusal
        assert group.folder.name in refusal, refusal
    rest = " ".join(line for line in lines if line not in refusals)
    assert set(rest.split()) == {"True"}, lines


def test_an_array_with_memory_of_its_own_is_refused_before_the_limit(group: Group):
    ended = group.run("""
from penstock import SharedArray
kept = []
try:
    while True:
        kept.append(SharedArray.empty(4 << 20, "u1"))
except MemoryError as error:
    print(error)
print(4 < len(kept) < 24)
del kept
SharedArray.empty(4 << 20, "u1").fill(1)
try:
    SharedArray.empty(1 << 30, "u1")
except MemoryError as error:
    print(error)
""")
    assert (ended.returncode, ended.stderr) == (0, "")
    filled, took, large = ended.stdout.splitlines()
    assert took == "True"
    for refusal in (filled, large):
        assert "SharedArray: no memory for" in refusal
        assert f"limited to {96 * MIB}" in refusal
