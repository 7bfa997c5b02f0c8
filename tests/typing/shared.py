"""What comes out of a shared queue is what may go in, whichever way it is taken."""

from __future__ import annotations

from typing import assert_type

from penstock import SharedArray, SharedQueue
from penstock.shared import Lease, SharedQueueStatistics


def from_threads(queue: SharedQueue[int]) -> None:
    queue.put(1, timeout=1.0)
    queue.put("one")  # type: ignore[arg-type]
    queue.put_many(["one"])  # type: ignore[list-item]
    queue.put_bytes(b"raw")
    queue.put_bytes("text")  # type: ignore[arg-type]
    assert_type(queue.get(), int)
    assert_type(queue.get_nowait(), int)
    assert_type(queue.get_many(16, min=2), list[int])
    assert_type(queue.get_bytes(), bytes)
    assert_type(list(queue), list[int])
    assert_type(queue.statistics(), SharedQueueStatistics)
    assert_type(queue.max_items, int | None)
    assert_type(queue.lease(), Lease[int])
    assert_type(queue.lease_many(), list[Lease[int]])
    with queue.lease() as item:
        assert_type(item, int)
    for lease in queue.leases():
        assert_type(lease.item, int)
    with SharedQueue[str](max_items=5) as other:
        assert_type(other.get(), str)
    assert_type(SharedQueue[int].attach("orders"), SharedQueue[int])
    assert_type(SharedArray.empty((2, 3), "f8", queue=queue), SharedArray)


async def from_loops(queue: SharedQueue[int]) -> None:
    await queue.aput("one")  # type: ignore[arg-type]
    assert_type(await queue.aget(), int)
    assert_type(await queue.aget(timeout=1.0), int)
    assert_type(await queue.aget_many(16), list[int])
    assert_type(await queue.aget_bytes(), bytes)
    assert_type([item async for item in queue], list[int])
    assert_type(await queue.alease(), Lease[int])
    assert_type([lease.item async for lease in queue.leases()], list[int])
