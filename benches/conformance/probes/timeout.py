"""Of timeouts."""

from __future__ import annotations

import asyncio
import time

from ..adapter import Adapter, AsyncCall
from ..probe import Seen, fails, outcome, passes, probe, shown, start, turns, until


@probe("timeout")
async def a_cancel_in_the_same_moment_wins(adapter: Adapter) -> Seen:
    """When the caller is cancelled in the tick in which its time is over, it is cancelled."""
    loop = asyncio.get_running_loop()
    wrong: list[str] = []
    # The cancel's timer before and after that of the timeout, both overdue when the loop looks.
    for name, moment in (("before", 0.099), ("after", 0.101)):
        running = asyncio.Event()

        async def work(running: asyncio.Event = running) -> str:
            running.set()
            await asyncio.Event().wait()
            return "answer"

        task = start(adapter.timeout(0.1)(work))
        begin = loop.time()
        await running.wait()
        await turns(3)
        loop.call_at(begin + moment, task.cancel)
        time.sleep(max(0.0, begin + 0.12 - loop.time()))  # noqa: ASYNC251 - the loop is to be late
        result = await outcome(task)
        if result != "cancelled":
            wrong.append(f"{shown(result)} if it comes {name}")
    return fails(", ".join(wrong)) if wrong else passes()


@probe("timeout")
async def a_cancel_beside_the_answer_is_not_lost(adapter: Adapter) -> Seen:
    """When the caller is cancelled in the tick in which the call has its answer, it still ends."""
    wrong: list[int] = []
    # A package may need some turns of the loop to take an answer over; each of them is tried.
    for later in range(6):
        gate = asyncio.Event()
        running = asyncio.Event()

        async def work(gate: asyncio.Event = gate, running: asyncio.Event = running) -> str:
            running.set()
            await gate.wait()
            return "answer"

        async def caller(work: AsyncCall = work) -> str:
            await adapter.timeout(60.0)(work)()
            await asyncio.sleep(0.01)  # whoever is cancelled ends here at the latest
            return "goes on"

        task = start(caller)
        await running.wait()
        await turns(5)
        gate.set()
        await turns(later)
        task.cancel()
        if await outcome(task) != "cancelled":
            wrong.append(later)
    return fails("the cancel is lost") if wrong else passes()


@probe("timeout")
async def it_leaves_no_mark_on_the_task(adapter: Adapter) -> Seen:
    """After its error the task goes on, and can wait again."""
    seen: list[object] = []

    async def work() -> None:
        await asyncio.Event().wait()

    async def twice() -> str:
        call = adapter.timeout(0.05)(work)
        for _ in range(2):
            try:
                await call()
            except adapter.timeouts as error:
                seen.append(error)
            await asyncio.sleep(0.01)
        task = asyncio.current_task()
        assert task is not None
        return "marked" if task.cancelling() else "goes on"

    result = await outcome(start(twice))
    if result != "goes on" or len(seen) != 2:
        return fails(shown(result))
    return passes()


@probe("timeout")
async def it_ends_nothing_after_the_call(adapter: Adapter) -> Seen:
    """What the task does after a call that ended in time is not bounded by its timeout."""
    calls = 0

    async def work() -> str:
        nonlocal calls
        calls += 1
        return "answer"

    async def then_hang() -> None:
        await adapter.timeout(0.05)(work)()
        await asyncio.Event().wait()

    task = start(then_hang)
    await until(lambda: calls)
    await asyncio.sleep(0.1)
    if task.done():
        return fails("ends what comes later")
    task.cancel()
    result = await outcome(task)
    return passes() if result == "cancelled" else fails(shown(result))
