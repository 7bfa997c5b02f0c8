"""Of bulkheads in which callers wait for a place."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter
from ..probe import Seen, fails, outcome, passes, probe, shown, start, turns, until


class Room:
    """Whoever is in it stays until let go."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Event] = []
        self.inside = 0
        self.most = 0

    async def call(self) -> str:
        gate = asyncio.Event()
        self.gates.append(gate)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await gate.wait()
        finally:
            self.inside -= 1
        return "answer"


@probe("bulkhead")
async def a_cancelled_call_gives_its_place_back(adapter: Adapter) -> Seen:
    """Ten callers cancelled inside, and ten while they wait, leave the place free."""
    room = Room()
    call = adapter.bulkhead(1)(room.call)
    for _ in range(10):
        holder = start(call)
        if not await until(lambda: room.inside == 1, 2.0):
            return fails("the place is lost")
        waiter = start(call)
        await turns(10)
        waiter.cancel()
        await outcome(waiter)
        holder.cancel()
        await outcome(holder)
    last = start(call)
    if not await until(lambda: room.inside == 1, 2.0):
        return fails("the place is lost")
    room.gates[-1].set()
    result = await outcome(last)
    if room.most > 1:
        return fails(f"{room.most} inside")
    return passes() if result == "answer" else fails(shown(result))


@probe("bulkhead")
async def a_place_given_to_one_who_leaves_goes_on(adapter: Adapter) -> Seen:
    """A waiter cancelled in the tick in which the place comes free passes it to the next."""
    room = Room()
    call = adapter.bulkhead(1)(room.call)
    holder = start(call)
    await until(lambda: room.inside == 1)
    leaving, next_one = start(call), start(call)
    await turns(10)
    room.gates[0].set()
    # The turn in which the holder leaves is the one in which the waiter is woken.
    while room.inside and len(room.gates) == 1:  # noqa: ASYNC110 - no later than that turn
        await asyncio.sleep(0)
    leaving.cancel()
    left = await outcome(leaving, 1.0)
    await outcome(holder)
    if left == "hangs":
        return fails("the cancel is lost")
    if not await until(lambda: room.inside == 1, 2.0):
        return fails("the place is lost")
    for gate in room.gates:
        gate.set()
    result = await outcome(next_one)
    if left not in {"cancelled", "answer"}:
        return fails(shown(left))
    return passes() if result == "answer" else fails(shown(result))
