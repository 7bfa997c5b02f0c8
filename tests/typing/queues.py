"""What comes out of a queue is what may go in, whichever way it is taken."""

from __future__ import annotations

from typing import assert_type

from penstock import LifoQueue, PriorityQueue, Queue, select
from penstock.queues import Reservation, select_blocking


def from_threads(queue: Queue[int]) -> None:
    queue.put(1, timeout=1.0)
    queue.put("one")  # type: ignore[arg-type]
    queue.put_many(["one"])  # type: ignore[list-item]
    assert_type(queue.get(), int)
    assert_type(queue.get_nowait(), int)
    assert_type(queue.get_many(16, min=2), list[int])
    assert_type(list(queue), list[int])
    assert_type(queue.statistics().waiting_getters, int)
    assert_type(queue.peek(), int)
    assert_type(queue.clear(), int)
    with queue.reserve(timeout=1.0) as place:
        assert_type(place, Reservation[int])
        place.put("one")  # type: ignore[arg-type]
    queue.maxsize = 8
    queue.maxsize = "8"  # type: ignore[assignment]
    queue.sync_q.put("one")  # type: ignore[arg-type]
    assert_type(queue.sync_q.get(timeout=1.0), int)


async def from_loops(queue: Queue[int]) -> None:
    await queue.aput("one")  # type: ignore[arg-type]
    assert_type(await queue.aget(), int)
    assert_type(await queue.aget(timeout=1.0), int)
    assert_type(await queue.aget_many(16), list[int])
    assert_type([item async for item in queue], list[int])
    assert_type(await queue.apeek(), int)
    assert_type(await queue.areserve(), Reservation[int])
    await queue.async_q.put("one")  # type: ignore[arg-type]
    assert_type(await queue.async_q.get(), int)


assert_type(Queue[str](maxsize=8), Queue[str])
assert_type(LifoQueue[str](8), LifoQueue[str])
assert_type(PriorityQueue[tuple[int, str]]().get(), tuple[int, str])


async def from_several(numbers: Queue[int], names: PriorityQueue[str]) -> None:
    assert_type(await select(numbers, numbers), tuple[Queue[int], int])
    assert_type(await select(numbers, timeout=1.0), tuple[Queue[int], int])
    _, item = await select(numbers, names)
    assert_type(item, int | str)
    _, item = select_blocking(numbers, names, timeout=1.0)
    assert_type(item, int | str)
    select("numbers")  # type: ignore[call-overload]
