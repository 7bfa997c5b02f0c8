"""Several loops and threads at one queue, and what a hub leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
import weakref
from functools import partial

import anyio
import pytest
import trio

from penstock import Queue
from penstock._loops import current_hub
from penstock.queues import QueueEmpty
from tests.loops import LOOPS, NATIVE

RUNS = {
    name: partial(anyio.run, backend=backend, backend_options=options)
    for name, (backend, options) in LOOPS.items()
}


@pytest.fixture(params=NATIVE)
def new_loop(request):
    _, options = LOOPS[request.param]
    return options.get("loop_factory", asyncio.new_event_loop)


def test_threads_and_three_loops_share_one_queue(thread):
    queue = Queue(7)
    got = {name: [] for name in [*RUNS, "thread"]}

    def loop(name):
        async def read() -> None:
            async for item in queue:
                got[name].append(item)

        async def write() -> None:
            for item in range(500):
                await queue.aput((name, item))

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                group.start_soon(read)
                await write()

        RUNS[name](main)

    def read_in_thread() -> None:
        for item in queue:
            got["thread"].append(item)

    def write_in_thread() -> None:
        queue.put_many(("thread", item) for item in range(500))

    threads = [thread(loop, name) for name in RUNS]
    threads += [thread(read_in_thread), thread(read_in_thread), thread(write_in_thread)]
    while queue.statistics().put < 500 * len(got):
        threads[-1].join(0.001)
    queue.shutdown()
    for each in threads:
        each.outcome()
    everything = sorted(item for items in got.values() for item in items)
    assert everything == sorted((name, item) for name in got for item in range(500))


async def test_a_thousand_queues_one_descriptor(anyio_backend, loop_descriptors, parked):
    await anyio.lowlevel.checkpoint()
    before = loop_descriptors()
    queues = [Queue(1) for _ in range(1000)]
    got = []

    async def read(queue) -> None:
        got.append(await queue.aget())

    async with anyio.create_task_group() as group:
        for queue in queues:
            group.start_soon(read, queue)
        for queue in queues:
            await parked(queue, getters=1)
        assert loop_descriptors() - before <= 1
        rings = current_hub().rings
        putter = threading.Thread(target=lambda: [queue.put(1) for queue in queues])
        putter.start()
        putter.join()
        assert current_hub().rings - rings == 1, "a burst is one call"
    assert got == [1] * 1000


@pytest.mark.parametrize("name", RUNS)
def test_loops_come_and_go(name, loop_descriptors, thread):
    gc.collect()
    before = loop_descriptors()
    queue = Queue(1)
    for number in range(20):

        async def main(number=number) -> None:
            assert await queue.aget() == number

        putter = thread(queue.put, number)
        RUNS[name](main)
        putter.outcome()
        assert loop_descriptors() == before, "left behind"


def test_a_loop_that_is_just_closed_leaves_nothing(new_loop, loop_descriptors, recwarn):
    gc.collect()
    before = loop_descriptors()
    queue = Queue(1)
    loop = new_loop()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.aget(), 0.01)

    loop.run_until_complete(main())
    assert loop_descriptors() > before
    loop.close()
    del loop
    gc.collect()
    assert loop_descriptors() == before
    assert not recwarn


def test_a_loop_may_go_on_after_its_generators_were_shut_down(new_loop, thread, blocked):
    queue = Queue(1)
    loop = new_loop()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(3):
                task = loop.create_task(queue.aget())
                loop.run_until_complete(asyncio.sleep(0))
                loop.run_until_complete(asyncio.sleep(0))
                assert queue.statistics().waiting_getters == 1
                loop.run_until_complete(loop.shutdown_asyncgens())
                thread(queue.put, number).outcome()
                assert loop.run_until_complete(asyncio.wait_for(task, 10)) == number
    finally:
        loop.close()


def test_a_waiter_whose_loop_is_gone_does_not_take_a_wake(new_loop, thread, blocked):
    queue, full = Queue(1), Queue(1)
    full.put("first")
    loop = new_loop()
    tasks = [loop.create_task(queue.aget()), loop.create_task(full.aput("of the loop"))]
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    getter, putter = thread(queue.get), thread(full.put, "of the thread")
    blocked(queue, getters=2)
    blocked(full, putters=2)
    queue.put("item")
    assert getter.outcome() == "item"
    assert full.get() == "first"
    putter.outcome()
    assert full.get() == "of the thread"
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False
    assert queue.statistics().waiting_getters == full.statistics().waiting_putters == 0
    assert full.empty(), "a task that will never run has put its item"


@pytest.mark.parametrize("name", RUNS)
def test_nothing_keeps_a_loop_that_has_ended(name):
    queue, full = Queue(1), Queue(1)
    full.put(0)
    seen, places = [], []

    async def main() -> None:
        if name == "trio":
            seen.append(weakref.ref(trio.lowlevel.current_root_task()))
        else:
            seen.append(weakref.ref(asyncio.get_running_loop()))
        async with anyio.create_task_group() as group:
            group.start_soon(queue.aget)
            group.start_soon(full.aput, 1)
            while not (queue.statistics().waiting_getters and full.statistics().waiting_putters):
                await anyio.lowlevel.checkpoint()
            places.append(current_hub().place())
            group.cancel_scope.cancel()

    RUNS[name](main)
    gc.collect()
    assert seen[0]() is None
    assert queue.statistics().waiting_getters == full.statistics().waiting_putters == 0
    places[0].wake()


def test_the_reader_goes_before_its_descriptor(new_loop):
    loop = new_loop()
    removed = []

    class Watching(type(loop)):
        def remove_reader(self, descriptor):
            os.fstat(descriptor)  # raises if it is closed
            removed.append(descriptor)
            return super().remove_reader(descriptor)

    loop.close()

    async def main() -> int:
        with pytest.raises(QueueEmpty):
            await Queue(1).aget(timeout=0.001)
        return current_hub().fileno()

    with asyncio.Runner(loop_factory=Watching) as runner:
        descriptor = runner.run(main())
    assert removed.count(descriptor) == 1


def test_the_reader_goes_before_its_descriptor_in_trio(monkeypatch):
    left = []
    wait_readable = trio.lowlevel.wait_readable

    async def watching(descriptor):
        try:
            await wait_readable(descriptor)
        finally:
            os.fstat(descriptor)  # raises if it is closed
            left.append(descriptor)

    async def main() -> int:
        with pytest.raises(QueueEmpty):
            await Queue(1).aget(timeout=0.001)
        return current_hub().fileno()

    monkeypatch.setattr(trio.lowlevel, "wait_readable", watching)
    descriptor = trio.run(main)
    assert left == [descriptor]


async def test_a_place_is_woken_once_from_anywhere(anyio_backend, thread):
    place = current_hub().place()
    place.wake()
    place.wake()
    assert await place.wait() is True
    place = current_hub().place()
    assert await place.wait(0.01) is False
    place.wake()
    place = current_hub().place()
    thread(place.wake)
    assert await place.wait(10) is True


def test_a_place_outlives_its_loop():
    places = []

    async def main() -> None:
        places.append(current_hub().place())

    for run in RUNS.values():
        run(main)
    for place in places:
        place.wake()
        place.wake()
