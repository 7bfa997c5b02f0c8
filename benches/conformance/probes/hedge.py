"""Of hedges."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter
from ..probe import Seen, fails, outcome, passes, probe, start, turns, until


class Attempts:
    """The first hangs, and takes some turns of the loop to put things away."""

    def __init__(self, *, second_answers: bool) -> None:
        self.second_answers = second_answers
        self.started = 0
        self.running = 0

    async def call(self) -> str:
        self.started += 1
        self.running += 1
        try:
            if self.started == 2 and self.second_answers:
                return "answer"
            await asyncio.Event().wait()
        finally:
            await turns(5)
            self.running -= 1
        return "never"


@probe("hedge")
async def losers_have_ended_when_the_winner_returns(adapter: Adapter) -> Seen:
    """The caller gets its answer with no attempt left running, whose connection would be held."""
    attempts = Attempts(second_answers=True)
    running: list[int] = []

    async def call() -> object:
        value = await adapter.hedge(0.05)(attempts.call)()
        running.append(attempts.running)
        return value

    result = await outcome(start(call))
    if result != "answer":
        return fails(f"no answer: {result!r}")
    if running == [0]:
        return passes()
    await turns(50)
    return fails("goes on for ever" if attempts.running else "still running")


@probe("hedge")
async def a_cancelled_caller_leaves_no_attempt(adapter: Adapter) -> Seen:
    """Cancelling the caller ends all attempts before it returns."""
    attempts = Attempts(second_answers=False)
    running: list[int] = []

    async def call() -> object:
        try:
            return await adapter.hedge(0.05)(attempts.call)()
        finally:
            running.append(attempts.running)

    task = start(call)
    if not await until(lambda: attempts.started == 2):
        return fails("no second attempt")
    task.cancel()
    result = await outcome(task)
    if result != "cancelled":
        return fails(f"not cancelled: {result!r}")
    if running == [0]:
        return passes()
    await turns(50)
    return fails("goes on for ever" if attempts.running else "still running")
