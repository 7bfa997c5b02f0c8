"""A shared queue in event loops: waits, cancellation, turns of the loop, others at the far end."""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from penstock import SharedQueue
from penstock.errors import Closed, Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown
from tests.loops import LOOPS, NATIVE

from . import children
from .conftest import PATIENCE, Start, ended, named

natively = pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)


async def test_what_is_there_comes_without_a_turn_of_the_loop(anyio_backend):
    queue: SharedQueue[int] = SharedQueue()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        await anyio.lowlevel.checkpoint()
        await queue.aput(0)  # the loop had its turn by now
        before = turns
        for number in range(20):
            await queue.aput(number)
            await queue.aget()
        # A turn for each 256 items or 100 µs, which a busy machine may well take for one.
        assert turns - before <= 20
        group.cancel_scope.cancel()
    assert queue.get_many() == [19]


async def test_the_loop_has_its_turn_all_the_same(anyio_backend):
    queue: SharedQueue[int] = SharedQueue()
    queue.put_many(range(5000))
    taken = 0
    with anyio.move_on_after(PATIENCE) as scope:
        async with anyio.create_task_group() as group:

            async def take() -> None:
                nonlocal taken
                while True:
                    await queue.aget()
                    taken += 1

            group.start_soon(take)
            while not taken:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert 0 < taken < 5000
    assert queue.get() == taken


async def test_a_getter_waits_for_a_thread(anyio_backend, parked, thread):
    queue: SharedQueue[str] = SharedQueue()
    results: list[str] = []

    async def take() -> None:
        results.append(await queue.aget())

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await parked(queue, getters=1)
        thread(queue.put, "item").outcome()
    assert results == ["item"]


async def test_a_putter_waits_for_a_thread(anyio_backend, parked, thread):
    queue: SharedQueue[int] = SharedQueue(max_items=1)
    queue.put(1)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aput, 2)
        await parked(queue, putters=1)
        assert thread(queue.get).outcome() == 1
    assert queue.get() == 2


async def test_threads_and_tasks_on_both_sides(anyio_backend, thread):
    queue: SharedQueue[tuple[int, int]] = SharedQueue(max_items=16)
    taken: list[tuple[int, int]] = []

    async def take() -> None:
        async for item in queue:
            taken.append(item)

    threads = [
        thread(queue.put_many, [(sender, number) for number in range(300)]) for sender in (0, 1)
    ]
    takers = [thread(list, queue) for _ in range(2)]
    async with anyio.create_task_group() as group:
        group.start_soon(take)
        group.start_soon(take)
        await queue.aput_many([(2, number) for number in range(300)])
        for sender in threads:
            await anyio.to_thread.run_sync(sender.outcome)
        queue.shutdown()
    for taker in takers:
        taken += taker.outcome()
    assert sorted(taken) == [(sender, number) for sender in range(3) for number in range(300)]


async def test_a_loop_and_other_processes(anyio_backend, fork: Start):
    queue: SharedQueue[tuple[int, int]] = SharedQueue(max_items=16)
    got: list[tuple[int, int]] = []

    async def take() -> None:
        got.extend([item async for item in queue])

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        group.start_soon(take)
        senders = [fork(children.put_numbered, queue, sender, 200) for sender in range(2)]
        for sender in senders:
            assert await anyio.to_thread.run_sync(ended, sender) == 0
        queue.shutdown()
    assert sorted(got) == [(sender, number) for sender in range(2) for number in range(200)]


async def test_times_that_are_up(anyio_backend):
    queue: SharedQueue[int] = SharedQueue(max_items=2)
    with pytest.raises(QueueEmpty, match="is empty after"):
        await queue.aget(timeout=0.001)
    with pytest.raises(QueueEmpty, match="holds 0 of the 2 items asked for after"):
        await queue.aget_many(2, min=2, timeout=0.001)
    with pytest.raises(QueueFull, match=r"is full: 2 of 2 items.* after 0\.001 s") as full:
        await queue.aput_many(range(5), timeout=0.001)
    assert full.value.accepted == 2
    assert await queue.aget_many() == [0, 1]


async def test_a_cancelled_getter_has_taken_nothing(anyio_backend, parked):
    queue: SharedQueue[str] = SharedQueue()
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aget)
        await parked(queue, getters=1)
        queue.put("item")
        group.cancel_scope.cancel()
    assert queue.get_many(min=0) in (["item"], [])
    # Whether the cancel or the item came first is the loop's affair; nobody is in the line now.
    await parked(queue)


@natively
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_native_cancel_loses_nothing(anyio_backend, parked, thread, turns):
    queue: SharedQueue[str] = SharedQueue()
    task = asyncio.create_task(_aget(queue))
    await parked(queue, getters=1)
    thread(queue.put, "item").outcome()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        got = [await task]
    except asyncio.CancelledError:
        got = []
    assert got + queue.get_many(min=0) == ["item"]


@natively
async def test_a_cancelled_getter_passes_its_wake_on(anyio_backend, parked):
    queue: SharedQueue[str] = SharedQueue()
    first = asyncio.create_task(_aget(queue))
    await parked(queue, getters=1)
    second = asyncio.create_task(_aget(queue))
    await asyncio.sleep(0)
    queue.put("item")
    first.cancel()
    done, _ = await asyncio.wait([first, second], timeout=PATIENCE, return_when="FIRST_COMPLETED")
    got = [task.result() for task in done if not task.cancelled()]
    if not got:
        got = [await asyncio.wait_for(second, PATIENCE)]
    assert got == ["item"]
    second.cancel()
    await asyncio.wait([first, second])


@natively
async def test_a_cancelled_putter_has_put_nothing(anyio_backend, parked):
    queue: SharedQueue[int] = SharedQueue(max_items=1)
    queue.put(0)
    task = asyncio.create_task(_aput(queue, 1))
    await parked(queue, putters=1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await parked(queue)
    assert queue.get_many() == [0]
    assert queue.empty()


async def test_a_shutdown_reaches_all_who_wait(anyio_backend, parked):
    queue: SharedQueue[int] = SharedQueue(max_items=1)
    ends: list[str] = []

    async def take() -> None:
        try:
            await queue.aget()
        except QueueShutDown:
            ends.append("taker")

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        group.start_soon(take)
        await parked(queue, getters=1)
        queue.shutdown()
    assert ends == ["taker"] * 2
    with pytest.raises(QueueShutDown):
        await queue.aput(1)


async def test_a_close_reaches_all_who_wait(anyio_backend, parked):
    queue: SharedQueue[int] = SharedQueue(name=named("orders"))
    ends: list[str] = []

    async def take() -> None:
        with pytest.raises(
            Closed, match=r"shared queue 'orders-[0-9]+' was closed in this process"
        ):
            await queue.aget()
        ends.append("taker")

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await parked(queue, getters=1)
        queue.close()
    assert ends == ["taker"]


async def test_bytes_and_batches(anyio_backend):
    queue: SharedQueue[Any] = SharedQueue()
    await queue.aput_bytes(b"raw")
    await queue.aput_bytes(bytearray(b"x" * 100_000))
    assert await queue.aget_bytes() == b"raw"
    assert await queue.aget() == b"x" * 100_000
    await queue.aput_many(["a", {"b": 1}, [None]])
    assert await queue.aget_many(2, min=2) == ["a", {"b": 1}]
    assert await queue.aget_many(min=0) == [[None]]
    assert await queue.aget_many(min=0) == []


@natively
async def test_an_operation_is_awaited_once(anyio_backend):
    queue: SharedQueue[int] = SharedQueue(name=named("orders"))
    operation = queue.aput({"a": 1})  # type: ignore[arg-type]
    assert repr(operation) == f"<aput of shared queue '{queue.name}'>"
    assert (operation.__name__, operation.__qualname__) == ("aput", "SharedQueue.aput")
    await operation
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await operation
    assert len(queue) == 1


def test_an_operation_that_is_never_awaited_says_so():
    queue: SharedQueue[int] = SharedQueue(name=named("orders"))
    with pytest.warns(
        RuntimeWarning, match="aget of shared queue 'orders-[0-9]+' was never awaited"
    ):
        queue.aget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operation = queue.aget()
        operation.close()
        del operation


def test_outside_of_a_loop():
    queue: SharedQueue[int] = SharedQueue(name=named("orders"))
    operation = queue.aget()
    with pytest.raises(
        Misuse, match=r"aget of shared queue 'orders-[0-9]+'>: no event loop runs here"
    ):
        operation.send(None)


async def test_an_item_is_held_by_nobody(anyio_backend):
    queue: SharedQueue[Any] = SharedQueue(max_items=1)
    item = {"a": [1]}
    before = sys.getrefcount(item)
    await queue.aput(item)
    with pytest.raises(QueueFull):
        await queue.aput(item, timeout=0.001)
    assert sys.getrefcount(item) == before


async def _aget(queue: SharedQueue[Any]) -> Any:
    return await queue.aget()


async def _aput(queue: SharedQueue[Any], item: object) -> None:
    await queue.aput(item)
