"""Wakes are counted: none while the taker is awake, one for a burst, no system call at home."""

from __future__ import annotations

import anyio

from penstock import Queue


async def test_no_wake_while_the_taker_is_awake(anyio_backend, parked):
    queue = Queue()
    seen = []

    async def read() -> None:
        for _ in range(101):
            seen.append(await queue.aget())  # noqa: PERF401 - one by one is what is tested

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await parked(queue, getters=1)
        for item in range(101):
            queue.put(item)
    assert seen == list(range(101))
    figures = queue.statistics()
    assert figures.getter_wakes == 1
    assert figures.system_wakes == 0, "a wake on the loop's own thread is no system call"


async def test_a_burst_from_a_thread_is_one_system_call(anyio_backend, parked, thread):
    queue = Queue()
    seen = []

    async def read() -> None:
        while len(seen) < 500:
            seen.append(await queue.aget())

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await parked(queue, getters=1)
        thread(lambda: [queue.put(item) for item in range(500)]).outcome()
    assert seen == list(range(500))
    figures = queue.statistics()
    assert (figures.getter_wakes, figures.system_wakes) == (1, 1)


async def test_many_getters_of_one_loop_are_called_together(anyio_backend, parked, thread):
    queue = Queue()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(queue.aget)
        await parked(queue, getters=50)
        thread(queue.put_many, range(50)).outcome()
    figures = queue.statistics()
    assert (figures.getter_wakes, figures.system_wakes) == (50, 1)


def test_threads_are_woken_one_for_one(thread, blocked):
    queue = Queue()
    getters = [thread(queue.get) for _ in range(3)]
    blocked(queue, getters=3)
    queue.put_many("abc")
    assert sorted(getter.outcome() for getter in getters) == ["a", "b", "c"]
    assert queue.statistics().getter_wakes == 3


def test_the_figures():
    queue = Queue(8)
    queue.put_many("abc")
    queue.get()
    queue.task_done()
    figures = queue.statistics()
    assert figures._asdict() == {
        "items": 2,
        "maxsize": 8,
        "waiting_getters": 0,
        "waiting_putters": 0,
        "unfinished": 2,
        "put": 3,
        "got": 1,
        "getter_wakes": 0,
        "putter_wakes": 0,
        "system_wakes": 0,
        "reserved": 0,
    }
