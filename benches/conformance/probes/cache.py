"""Of caches that promise one load for all, and of the others beside them."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter
from ..probe import Seen, fails, outcome, passes, probe, shown, start, until


class Load:
    """Hangs until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.started = 0
        self.cancelled = 0

    async def call(self) -> str:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "answer"


@probe("cache")
async def one_load_for_all(adapter: Adapter) -> Seen:
    """A hundred callers who miss at once cause one call."""
    load = Load()
    call = adapter.cache()(load.call)
    tasks = [start(call) for _ in range(100)]
    await until(lambda: load.started)
    await asyncio.sleep(0.1)
    started = load.started
    load.gate.set()
    answers = [await outcome(task) for task in tasks]
    if answers != ["answer"] * 100:
        return fails("not all get an answer")
    return passes("1") if started == load.started == 1 else fails(f"{load.started} loads")


@probe("cache")
async def it_goes_on_without_its_first_caller(adapter: Adapter) -> Seen:
    """When the caller who began the load is cancelled, those who wait for it get an answer."""
    load = Load()
    call = adapter.cache()(load.call)
    first = start(call)
    await until(lambda: load.started)
    others = [start(call) for _ in range(3)]
    await asyncio.sleep(0.05)
    first.cancel()
    result = await outcome(first)
    load.gate.set()
    answers = [await outcome(other) for other in others]
    if result != "cancelled":
        return fails(f"the first: {shown(result)}")
    if answers != ["answer"] * 3:
        return fails(f"the others: {shown(answers[0])}")
    return passes()


@probe("cache")
async def the_last_to_go_ends_it(adapter: Adapter) -> Seen:
    """When all who waited are cancelled, the load is, and the next caller begins another."""
    load = Load()
    call = adapter.cache()(load.call)
    tasks = [start(call) for _ in range(3)]
    await until(lambda: load.started)
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    for task in tasks:
        await outcome(task)
    started = load.started
    if not await until(lambda: load.cancelled == started, 1.0):
        return fails("the load goes on")
    load.gate.set()
    result = await outcome(start(call))
    return passes() if result == "answer" else fails(f"the next: {shown(result)}")
