"""`select`: one item from one of several queues, and nothing lost in the others."""

from __future__ import annotations

import asyncio
import collections
import random

import anyio
import pytest

from penstock import LifoQueue, PriorityQueue, Queue, select
from penstock.errors import Misuse
from penstock.queues import QueueEmpty, QueueShutDown, select_blocking
from tests.loops import LOOPS, NATIVE

natively = pytest.mark.parametrize("anyio_backend", [LOOPS[name] for name in NATIVE], ids=NATIVE)


def waiting(*queues):
    return [queue.statistics().waiting_getters for queue in queues]


async def until_waiting(*queues):
    while not all(waiting(*queues)):
        await anyio.lowlevel.checkpoint()


async def until_idle(*queues):
    """Until nobody waits beside an item."""
    with anyio.fail_after(30):
        while any(len(queue) and waiting(queue) != [0] for queue in queues):
            await anyio.lowlevel.checkpoint()


async def test_what_is_there_is_taken(anyio_backend):
    first, second = Queue(4), LifoQueue(4)
    second.put_many("ab")
    winner, item = await select(first, second)
    assert winner is second
    assert item == "b"
    first.put("c")
    second.get()
    assert await select(first, second, timeout=0) == (first, "c")


@pytest.mark.parametrize("source", ["loop", "thread"])
@pytest.mark.parametrize("index", [0, 1, 2])
async def test_whichever_has_an_item_wakes_it(anyio_backend, thread, source, index):
    queues = [Queue(4), LifoQueue(), PriorityQueue(2)]
    got = []

    async def read() -> None:
        got.append(await select(*queues, timeout=30))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await until_waiting(*queues)
        if source == "loop":
            queues[index].put("x")
        else:
            thread(queues[index].put, "x").outcome()
    assert got == [(queues[index], "x")]
    assert waiting(*queues) == [0, 0, 0]


def test_threads_wait_for_several(thread, blocked):
    first, second = Queue(4), PriorityQueue()
    for queue in (first, second, first):
        selecting = thread(lambda: select_blocking(first, second, timeout=30))
        blocked(first, getters=1)
        blocked(second, getters=1)
        queue.put(1)
        assert selecting.outcome() == (queue, 1)
        assert waiting(first, second) == [0, 0]
    second.put(2)
    assert select_blocking(first, second) == (second, 2)
    with pytest.raises(QueueEmpty, match=r"all are empty: .* after 0.01 s"):
        select_blocking(first, second, timeout=0.01)
    assert waiting(first, second) == [0, 0]


async def test_both_ready_in_one_tick_gives_one_and_leaves_one(anyio_backend):
    first, second = Queue(4, name="first"), Queue(4, name="second")
    got = []

    async def read() -> None:
        got.append(await select(first, second))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await until_waiting(first, second)
        first.put("item")
        second.put("item")
    [(winner, item)] = got
    loser = second if winner is first else first
    assert item == "item"
    assert winner.empty()
    assert loser.get_nowait() == "item"


async def test_the_losing_queue_wakes_its_next_getter(anyio_backend, parked):
    first, second = Queue(4), Queue(4)
    got = []

    async def read(operation) -> None:
        got.append(await operation)

    async with anyio.create_task_group() as group:
        group.start_soon(read, select(first, second))
        await until_waiting(first, second)
        group.start_soon(read, second.aget())
        await parked(second, getters=2)
        # Both wakes go to the select, which can use one of them.
        second.put("second")
        first.put("first")
        await until_idle(first, second)
        if waiting(second) == [1]:
            second.put("more")
    assert len(got) == 2
    assert (first, "first") in got or (second, "second") in got


@natively
@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_native_cancel_in_the_tick_of_the_item_loses_nothing(anyio_backend, turns):
    first, second = Queue(4), Queue(4)
    task = asyncio.ensure_future(asyncio.wait_for(select(first, second), 30))
    await until_waiting(first, second)
    first.put("a")
    second.put("b")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        got = [(await task)[1]]
    except asyncio.CancelledError:
        got = []
    left = first.get_many(min=0) + second.get_many(min=0)
    assert sorted(got + left) == ["a", "b"]
    assert waiting(first, second) == [0, 0]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_scope_cancel_in_the_tick_of_the_item_loses_nothing(anyio_backend, turns):
    first, second = Queue(4), Queue(4)
    got = []

    async def read() -> None:
        got.append((await select(first, second))[1])

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await until_waiting(first, second)
        first.put("a")
        second.put("b")
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    left = first.get_many(min=0) + second.get_many(min=0)
    assert sorted(got + left) == ["a", "b"]
    assert waiting(first, second) == [0, 0]


async def test_a_cancelled_select_passes_its_wakes_on(anyio_backend, parked):
    first, second = Queue(4), Queue(4)
    got = []

    async def read(queue) -> None:
        got.append(await queue.aget())

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def selecting() -> None:
            with scope:
                await select(first, second)

        group.start_soon(selecting)
        await until_waiting(first, second)
        for queue in (first, second):
            group.start_soon(read, queue)
            await parked(queue, getters=2)
        scope.cancel()
        first.put("a")
        second.put("b")
        await until_idle(first, second)
        # If the select was faster than its cancel, one getter is left.
        for queue in (first, second):
            if waiting(queue) == [1]:
                queue.put("again")
    assert len(got) == 2


async def test_the_deadline_leaves_every_queue_as_it_was(anyio_backend):
    first, second = Queue(4, name="first"), Queue(4)
    with pytest.raises(QueueEmpty, match=r"all are empty: queue 'first', queue of maxsize 4"):
        await select(first, second, timeout=0.01)
    with pytest.raises(asyncio.QueueEmpty):
        await select(first, second, timeout=0)
    assert waiting(first, second) == [0, 0]


async def test_a_queue_that_has_ended_is_passed_over_until_all_have(anyio_backend):
    first, second = Queue(4), Queue(4)
    first.put("last")
    first.shutdown()
    assert await select(first, second) == (first, "last")
    second.put("more")
    assert await select(first, second) == (second, "more")
    ended = []

    async def read() -> None:
        with pytest.raises(QueueShutDown, match="all are shut down"):
            await select(first, second)
        ended.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await until_waiting(second)
        second.shutdown()
    assert ended == [True]
    with pytest.raises(QueueShutDown):
        select_blocking(first, second)


async def test_no_ready_queue_is_starved(anyio_backend):
    queues = [Queue() for _ in range(3)]
    for queue in queues:
        queue.put_many(range(3000))
    wins = collections.Counter()
    for _ in range(3000):
        winner, _ = await select(*queues)
        wins[queues.index(winner)] += 1
    assert all(800 < wins[index] < 1200 for index in range(3)), wins


async def test_many_selects_and_getters_share_everything_out(anyio_backend, thread):
    queues = [Queue(3), PriorityQueue(2), LifoQueue()]
    got = []

    async def selecting() -> None:
        while True:
            try:
                got.append((await select(*queues))[1])
            except QueueShutDown:
                return

    async def getting(queue) -> None:
        got.extend([item async for item in queue])

    def producing(queue, numbers) -> None:
        for number in numbers:
            queue.put(number)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(selecting)
        for queue in queues:
            group.start_soon(getting, queue)
        producers = [thread(producing, queue, range(n, 1500, 3)) for n, queue in enumerate(queues)]
        for producer in producers:
            while producer.is_alive():
                await anyio.lowlevel.checkpoint()
        for queue in queues:
            queue.shutdown()
    assert sorted(got) == list(range(1500))


async def test_random_cancels_lose_and_double_nothing(anyio_backend):
    chance = random.Random(5)
    queues = [Queue(), Queue()]
    got = []

    async def read(scope) -> None:
        with scope:
            got.append((await select(*queues))[1])

    for number in range(300):
        async with anyio.create_task_group() as group:
            scopes = [anyio.CancelScope() for _ in range(2)]
            for scope in scopes:
                group.start_soon(read, scope)
            await until_waiting(*queues)
            acts = [scope.cancel for scope in scopes]
            acts.append(lambda number=number: chance.choice(queues).put(number))
            chance.shuffle(acts)
            for act in acts:
                act()
                for _ in range(chance.randrange(3)):
                    await anyio.lowlevel.checkpoint()
        assert waiting(*queues) == [0, 0]
        for queue in queues:
            got += queue.get_many(min=0)
        assert got == list(range(number + 1))


async def test_what_cannot_work_is_refused(anyio_backend):
    queue = Queue(4, name="q")
    with pytest.raises(Misuse, match="no queue"):
        select()
    with pytest.raises(Misuse, match=r"'q': select.. got it twice"):
        select(queue, Queue(), queue)
    with pytest.raises(Misuse, match="timeout=-1"):
        select(queue, timeout=-1)
    with pytest.raises(TypeError):
        select(queue, asyncio.Queue())


def test_outside_of_a_loop_it_says_so():
    operation = select(Queue(4, name="a"), Queue(4, name="b"))
    assert repr(operation) == "<select of queue 'a', queue 'b'>"
    with pytest.raises(Misuse, match="no event loop runs here"):
        operation.send(None)
    with pytest.warns(RuntimeWarning, match="select of .* was never awaited"):
        select(Queue(4, name="a"))
