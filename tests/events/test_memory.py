"""Events leave nothing behind, however many there are.

`make chaos ROOM=events` goes on to as many as there is time for.
"""

from __future__ import annotations

import gc
import resource

import anyio
import anyio.lowlevel

from penstock import EventBus

WARM_UP = 5_000
EVENTS = 60_000


def resident_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024


async def test_memory_is_flat():
    heard = 0

    async def quick(_data):
        nonlocal heard
        heard += 1

    async def suspends(_data):
        nonlocal heard
        await anyio.lowlevel.checkpoint()
        heard += 1

    async def fails(_data):
        raise ValueError

    async with EventBus("flat", on_error=lambda _outcome: None) as bus:
        bus.on("a.*", quick)
        bus.on("a.b", suspends)
        bus.on("a.b", fails)
        bus.on("a.quick", quick)

        async def emit(count: int) -> None:
            for number in range(count):
                await bus.emit("a.quick", b"%d" % number * 100)
                if number % 20 == 0:
                    await bus.emit("a.b", b"%d" % number * 100)
                    bus.emit_nowait("a.b", b"%d" % number * 100)
            await bus.drain()

        await emit(WARM_UP)
        gc.collect()
        before = resident_kib()
        await emit(EVENTS)
        gc.collect()
        grown = resident_kib() - before
    assert heard > 2 * EVENTS
    # A hundred bytes for each event would be six times that.
    assert grown < 1024, f"{grown} KiB"
