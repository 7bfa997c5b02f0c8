"""How a batch of messages finds its workers: each item once, no more calls than needed."""

from __future__ import annotations

import anyio
import pytest

from penstock.messages.crew import Crew


class Counting(Crew[int]):
    """Counts the workers that were woken."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = 0

    async def _wait(self) -> None:
        await super()._wait()
        self.woken += 1


@pytest.fixture
def crew() -> Counting:
    return Counting()


async def asleep(crew: Counting, workers: int) -> None:
    while len(crew._idle) < workers:
        await anyio.lowlevel.checkpoint()


async def test_all_workers_are_called_for_handlers_that_wait(crew):
    begun = []
    all_begun = anyio.Event()

    async def work() -> None:
        begun.append(await crew.take())
        if len(begun) == 40:
            all_begun.set()
        await all_begun.wait()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(work)
            await asleep(crew, 40)
            crew.give(range(40))
    assert begun == list(range(40))


async def test_most_workers_sleep_on_beside_handlers_that_do_not_wait(crew):
    done = []

    async def work() -> None:
        while True:
            done.append(await crew.take())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(work)
            await asleep(crew, 40)
            for batch in range(5):
                crew.give(range(40 * batch, 40 * (batch + 1)))
                while len(done) < 40 * (batch + 1) or crew._called:
                    await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert sorted(done) == list(range(200))
    # A slow machine gives them more turns, and each may call a few.
    assert crew.woken < 150


async def test_a_call_that_meets_a_cancelled_worker_goes_to_another_one(crew):
    taken = []
    scopes = [anyio.CancelScope() for _ in range(2)]

    async def work(scope: anyio.CancelScope) -> None:
        with scope:
            taken.append(await crew.take())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for scope in scopes:
                group.start_soon(work, scope)
            await asleep(crew, 2)
            crew.give([1])
            # Whoever was called hears of both at once; the other takes the item, or it does.
            scopes[1].cancel()
            while not taken:
                await anyio.lowlevel.checkpoint()
            crew.give([2])
            if not scopes[1].cancelled_caught:
                assert taken == [1]
            scopes[0].cancel()
    assert taken[0] == 1
    assert crew._called == 0
    assert sorted(taken + crew.take_back()) == [1, 2]


async def test_what_nobody_has_taken_is_given_back_in_order(crew):
    crew.give([1, 2, 3])
    assert await crew.take() == 1
    assert crew.take_back() == [2, 3]
    assert crew.take_back() == []
