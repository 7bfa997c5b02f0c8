"""Who is served first: `fair=True`, and what is set aside for one who was overtaken otherwise."""

from __future__ import annotations

import random

import anyio
import pytest

from penstock import LifoQueue, PriorityQueue, Queue, select
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown, select_blocking


@pytest.mark.parametrize("cls", [Queue, LifoQueue, PriorityQueue])
def test_barging_is_the_default(cls):
    assert cls().is_fair is False
    assert cls(4, fair=True).is_fair is True
    assert cls(fair=True).is_fair is True


# -- fair: tasks


@pytest.mark.parametrize(
    ("cls", "order"),
    [(Queue, [3, 1, 2]), (LifoQueue, [2, 1, 3]), (PriorityQueue, [1, 2, 3])],
)
async def test_the_kth_that_waits_takes_the_kth_item(anyio_backend, parked, cls, order):
    queue = cls(8, fair=True)
    got = {}

    async def take(name: int) -> None:
        got[name] = await queue.aget()

    async with anyio.create_task_group() as group:
        for name in range(3):
            group.start_soon(take, name)
            await parked(queue, getters=name + 1)
        queue.put_many([3, 1, 2])
    assert [got[name] for name in range(3)] == order


async def test_who_comes_later_cannot_take_what_was_granted(anyio_backend, parked):
    queue = Queue(8, fair=True)
    got = []

    async def take() -> None:
        got.append(await queue.aget())

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await parked(queue, getters=1)
        queue.put_nowait("a")
        for attempt in (
            queue.get_nowait,
            lambda: queue.get(timeout=0),
            queue.peek_nowait,
            lambda: select_blocking(queue, timeout=0),
        ):
            with pytest.raises(QueueEmpty):
                attempt()
        assert queue.get_many(min=0) == []
        queue.put_nowait("b")
        assert queue.peek_nowait() == "b"
        assert queue.get_many() == ["b"], "what is beside it may be taken"
        assert len(queue) == 1
    assert got == ["a"]


async def test_otherwise_who_comes_first_takes(anyio_backend, parked):
    queue = Queue(8)

    async with anyio.create_task_group() as group:
        group.start_soon(queue.aget)
        await parked(queue, getters=1)
        queue.put_nowait("a")
        assert queue.get_nowait() == "a"
        await parked(queue, getters=1)
        queue.put_nowait("b")


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_getter_cancelled_in_the_same_tick_hands_its_item_down(
    anyio_backend, parked, cancelled_first
):
    queue = Queue(8, fair=True)
    got = {}

    async def take(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            got[name] = await queue.aget()

    async with anyio.create_task_group() as group:
        scopes = [anyio.CancelScope() for _ in range(3)]
        for count, (name, scope) in enumerate(zip("abc", scopes, strict=True), 1):
            group.start_soon(take, name, scope)
            await parked(queue, getters=count)
        if cancelled_first:
            scopes[0].cancel()
        queue.put_many([1, 2])
        scopes[0].cancel()
        queue.put_nowait(3)
    left = queue.get_many(min=0)
    # Woken first and then cancelled, "a" has its item on asyncio, and not on trio.
    assert sorted([*got.values(), *left]) == [1, 2, 3]
    assert {"b", "c"} <= set(got)


async def test_who_needs_many_holds_up_those_behind(anyio_backend, parked):
    queue = Queue(8, fair=True)
    got = {}

    async def take_three() -> None:
        got["three"] = await queue.aget_many(min=3, max=3)

    async def take() -> None:
        got["one"] = await queue.aget()

    async with anyio.create_task_group() as group:
        group.start_soon(take_three)
        await parked(queue, getters=1)
        group.start_soon(take)
        await parked(queue, getters=2)
        queue.put_many([1, 2])
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert not got
        queue.put_many([3, 4])
    assert got == {"three": [1, 2, 3], "one": 4}


async def test_one_who_needs_many_and_gives_up_lets_all_behind_it_in(anyio_backend, parked):
    queue = Queue(8, fair=True)
    got = {}
    scope = anyio.CancelScope()

    async def take_three() -> None:
        with scope:
            await queue.aget_many(min=3)

    async def take(name: str) -> None:
        got[name] = await queue.aget()

    async with anyio.create_task_group() as group:
        group.start_soon(take_three)
        await parked(queue, getters=1)
        for count, name in enumerate("ab", 2):
            group.start_soon(take, name)
            await parked(queue, getters=count)
        queue.put_many([1, 2])
        scope.cancel()
    assert got == {"a": 1, "b": 2}


async def test_a_peek_waits_its_turn_and_holds_nothing_afterwards(anyio_backend, parked):
    queue = Queue(8, fair=True)
    got = []

    async def take() -> None:
        got.append(await queue.aget())

    async def look() -> None:
        got.append(("seen", await queue.apeek()))

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await parked(queue, getters=1)
        group.start_soon(take)
        await parked(queue, getters=2)
        queue.put_nowait(1)
    assert sorted(got, key=str) == [("seen", 1), 1]


async def test_places_are_granted_in_order(anyio_backend, parked):
    queue = Queue(1, fair=True)
    queue.put_nowait(0)

    async with anyio.create_task_group() as group:
        for item in range(1, 4):
            group.start_soon(queue.aput, item)
            await parked(queue, putters=item)
        assert queue.get_nowait() == 0
        for attempt in (queue.put_nowait, lambda item: queue.put(item, timeout=0)):
            with pytest.raises(QueueFull):
                attempt("barging")
        with pytest.raises(QueueFull):
            queue.reserve(timeout=0)
        with pytest.raises(QueueFull) as caught:
            queue.put_many(["barging"], timeout=0)
        assert caught.value.accepted == 0
        got = [await queue.aget() for _ in range(3)]
    assert got == [1, 2, 3]


async def test_a_putter_of_many_takes_no_place_of_another(anyio_backend, parked):
    queue = Queue(4, fair=True)
    queue.put_many("abcd")

    async with anyio.create_task_group() as group:
        group.start_soon(queue.aput, "first")
        await parked(queue, putters=1)
        assert queue.get_many(max=3) == ["a", "b", "c"]
        with pytest.raises(QueueFull) as caught:
            queue.put_many(["x", "y", "z"], timeout=0)
        assert caught.value.accepted == 2, "three places, one of them granted"
    assert queue.get_many() == ["d", "x", "y", "first"]


async def test_the_places_of_a_larger_bound_go_to_those_who_wait(anyio_backend, parked):
    queue = Queue(1, fair=True)
    queue.put_nowait(0)
    async with anyio.create_task_group() as group:
        for item in range(1, 4):
            group.start_soon(queue.aput, item)
            await parked(queue, putters=item)
        queue.maxsize = 4
        with pytest.raises(QueueFull):
            queue.put_nowait("barging")
    assert queue.get() == 0
    assert sorted(queue.get_many()) == [1, 2, 3], "on trio, they run in any order"


async def test_items_that_compare_slowly_and_fail_do_so_without_the_lock(anyio_backend, parked):
    queue: PriorityQueue[Nosy] = PriorityQueue(2, fair=True)

    class Nosy:
        def __init__(self, rank: int, fails: bool = False) -> None:
            self.rank, self.fails = rank, fails

        def __lt__(self, other: Nosy) -> bool:
            queue.qsize()
            queue.statistics()
            if self.fails:
                raise ArithmeticError("no rank")
            return self.rank < other.rank

    queue.put_many([Nosy(5), Nosy(7)])
    failures = []

    async def put(item: Nosy) -> None:
        try:
            await queue.aput(item)
        except ArithmeticError as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(put, Nosy(6, fails=True))
        await parked(queue, putters=1)
        group.start_soon(put, Nosy(4))
        await parked(queue, putters=2)
        group.start_soon(queue.aput_many, [Nosy(3), Nosy(2)])
        await parked(queue, putters=3)
        ranks = [queue.get_nowait().rank]
        for _ in range(3):
            while not queue.full():
                await anyio.lowlevel.checkpoint()
            ranks.append(queue.get_nowait().rank)
        ranks.append(queue.get_nowait().rank)
    assert len(failures) == 1
    assert ranks == [5, 4, 3, 2, 7]
    assert queue.statistics().reserved == 0


async def test_after_a_shutdown_the_first_to_look_takes(anyio_backend, parked):
    queue = Queue(4, fair=True)
    outcomes = []

    async def take() -> None:
        try:
            outcomes.append(await queue.aget())
        except QueueShutDown:
            outcomes.append("end")

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await parked(queue, getters=1)
        queue.put_nowait(1)
        queue.shutdown()
        assert queue.get_nowait() == 1
    assert outcomes == ["end"]


async def test_a_select_waits_in_the_line_of_each_queue(anyio_backend, parked):
    one, two = Queue(fair=True), Queue(fair=True)
    got = []

    async def take(name: str, *queues: Queue[int]) -> None:
        got.append((name, await select(*queues)))

    async with anyio.create_task_group() as group:
        group.start_soon(take, "both", one, two)
        await parked(two, getters=1)
        group.start_soon(take, "two", two)
        await parked(two, getters=2)
        two.put_nowait(1)
        two.put_nowait(2)
    assert sorted(got) == [("both", (two, 1)), ("two", (two, 2))]
    assert one.statistics().waiting_getters == 0
    one.put_nowait(3)
    assert one.get_nowait() == 3, "nothing is set aside in the queue that lost"


# -- fair: threads


def test_threads_get_their_items_in_the_order_in_which_they_came(thread, blocked):
    queue = Queue(8, fair=True)
    takers = []
    for count in range(1, 6):
        takers.append(thread(queue.get))
        blocked(queue, getters=count)
    queue.put_many(range(5))
    assert [taker.outcome() for taker in takers] == [0, 1, 2, 3, 4]


def test_everybody_has_a_turn_before_anybody_has_two(thread, blocked):
    queue = Queue(fair=True)
    served: list[int] = []

    def take(name: int) -> None:
        served.extend(name for _ in queue)

    for name in range(4):
        thread(take, name)
        blocked(queue, getters=name + 1)
    for item in range(40):
        queue.put(item)
        blocked(queue, getters=4)
    queue.shutdown()
    assert served == [0, 1, 2, 3] * 10


def test_nothing_is_lost_among_many_who_wait_come_and_go(thread):
    queue = Queue(3, fair=True)
    put, got = [0] * 4, []

    def give(name: int) -> None:
        chance = random.Random(name)
        for number in range(300):
            while True:
                try:
                    queue.put((name, number), timeout=chance.choice([0, 1e-4, 30]))
                except QueueFull:
                    continue
                break
            put[name] += 1

    def take(name: int) -> None:
        chance = random.Random(name)
        while True:
            try:
                wait = chance.choice([0, 1e-4, 30])
                most = chance.randint(1, 3)
                batch = queue.get_many(most, chance.randint(1, most), timeout=wait)
            except QueueEmpty:
                continue
            except QueueShutDown:
                return
            got.extend(batch)

    takers = [thread(take, name) for name in range(4)]
    for giver in [thread(give, name) for name in range(4)]:
        giver.outcome()
    queue.shutdown()
    for taker in takers:
        taker.outcome()
    assert put == [300] * 4
    assert sorted(got) == [(name, number) for name in range(4) for number in range(300)]


# -- otherwise: one who was overtaken


async def test_the_fourth_item_is_set_aside_for_one_who_was_overtaken_three_times(
    anyio_backend, parked
):
    queue = Queue(8)
    got = []

    async def take() -> None:
        got.append(await queue.aget())

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        for item in range(3):
            await parked(queue, getters=1)
            queue.put_nowait(item)
            assert queue.get_nowait() == item
        await parked(queue, getters=1)
        queue.put_nowait(3)
        with pytest.raises(QueueEmpty):
            queue.get_nowait()
        queue.put_nowait(4)
        assert queue.get_nowait() == 3, "the one that is set aside may be any"
        with pytest.raises(QueueEmpty):
            queue.get_nowait()
    assert got == [4]
    queue.put_nowait(5)
    assert queue.get_nowait() == 5, "served, it holds nothing back any more"


async def test_the_fourth_place_is_set_aside_for_one_who_was_overtaken(anyio_backend, parked):
    queue = Queue(1)
    queue.put_nowait(0)
    async with anyio.create_task_group() as group:
        group.start_soon(queue.aput, "patient")
        for item in range(3):
            await parked(queue, putters=1)
            assert queue.get_nowait() == item
            queue.put_nowait(item + 1)
        await parked(queue, putters=1)
        assert queue.get_nowait() == 3
        with pytest.raises(QueueFull):
            queue.put_nowait("barging")
    assert queue.get_nowait() == "patient"


async def test_one_who_was_overtaken_and_gives_up_holds_nothing_back(anyio_backend, parked):
    queue = Queue(8)
    scope = anyio.CancelScope()

    async def take() -> None:
        with scope:
            await queue.aget()

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        for item in range(3):
            await parked(queue, getters=1)
            queue.put_nowait(item)
            queue.get_nowait()
        await parked(queue, getters=1)
        scope.cancel()
        queue.put_nowait("kept")
    assert queue.get_nowait() == "kept"
