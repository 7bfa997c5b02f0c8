"""Random emits from everywhere, with handlers of every kind: none lost, none doubled, in order.

Each round opens a bus on one of the loops and emits numbered events from the owner and from
threads, to handlers that return at once, suspend, fail, run in threads or take turns, while some
emitters are cancelled. What a source emitted and was not told had failed must have been heard by
each handler once, and begun in its order; when all is over, nothing may be under way.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import uvloop
from anyio.lowlevel import checkpoint

from penstock import EventBus
from penstock.errors import Full
from penstock.events import Outcomes

LOOPS: list[tuple[str, dict[str, Any]]] = [
    ("asyncio", {}),
    ("asyncio", {"loop_factory": uvloop.new_event_loop}),
    ("trio", {}),
]


@dataclass
class Round:
    random: random.Random
    # By handler: what it began with, by source.
    begun: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    sure: dict[str, list[int]] = field(default_factory=dict)
    emits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, handler: str, event: tuple[str, int]) -> None:
        source, number = event
        with self.lock:
            self.begun.setdefault(handler, {}).setdefault(source, []).append(number)

    def subscribe(self, bus: EventBus) -> None:
        rng = self.random

        def suspending(name: str, pauses: int, *, fails: bool) -> Any:
            async def handler(event: tuple[str, int]) -> str:
                self.note(name, event)
                for _ in range(pauses):
                    await checkpoint()
                if fails:
                    raise ValueError(name)
                return name

            return handler

        for number in range(rng.randint(1, 5)):
            name = f"handler {number}"
            kind = rng.choice(["async", "async", "inline", "thread", "serial"])
            priority = rng.randint(-1, 1)
            if kind == "inline":
                bus.on("x", lambda event, name=name: self.note(name, event), inline=True)
            elif kind == "thread":
                # One at a time: threads of a pool begin in an order of their own.
                bus.on(
                    "x",
                    lambda event, name=name: self.note(name, event),
                    serial=True,
                    backlog=100_000,
                    priority=priority,
                )
            else:
                handler = suspending(name, rng.randint(0, 3), fails=rng.random() < 0.2)
                serial = kind == "serial"
                bus.on("x", handler, serial=serial, backlog=100_000, priority=priority)
            self.begun[name] = {}

    def heard(self, source: str, number: int, outcomes: Outcomes) -> None:
        assert len(outcomes) == len(self.begun), outcomes
        self.sure.setdefault(source, []).append(number)

    async def emit_here(self, bus: EventBus, source: str, count: int) -> None:
        for number in range(count):
            self.emits += 1
            way = self.random.random()
            if way < 0.5:
                self.heard(source, number, await bus.emit("x", (source, number)))
            elif way < 0.6:
                with anyio.move_on_after(self.random.random() * 0.0005):
                    self.heard(source, number, await bus.emit("x", (source, number)))
            else:
                try:
                    emission = bus.emit_nowait("x", (source, number))
                except Full:  # nobody waits for room here
                    await checkpoint()
                    continue
                self.heard(source, number, await emission)

    def emit_in_thread(self, bus: EventBus, source: str, count: int, seed: int) -> None:
        rng = random.Random(seed)
        for number in range(count):
            with self.lock:
                self.emits += 1
            if rng.random() < 0.3:
                self.heard(source, number, bus.sync.emit("x", (source, number)))
            else:
                bus.emit_nowait("x", (source, number))
                with self.lock:
                    self.sure.setdefault(source, []).append(number)

    def check(self, bus: EventBus) -> None:
        statistics = bus.statistics()
        assert statistics.under_way == statistics.waiting == statistics.dropped == 0, statistics
        for handler, sources in self.begun.items():
            for source, sure in self.sure.items():
                begun = sources.get(source, [])
                assert begun == sorted(begun), (handler, source, "out of order")
                assert len(set(begun)) == len(begun), (handler, source, "twice")
                assert set(sure) <= set(begun), (handler, source, set(sure) - set(begun))


async def _round(seed: int) -> int:
    rng = random.Random(seed)
    this = Round(rng)
    bus = EventBus("chaos", queue=rng.choice([1, 2, 16, 1024]), on_error=lambda _outcome: None)
    this.subscribe(bus)
    async with bus, anyio.create_task_group() as group:
        for number in range(rng.randint(1, 3)):
            group.start_soon(this.emit_here, bus, f"home {number}", rng.randint(1, 40))
        for number in range(rng.randint(0, 2)):
            group.start_soon(
                anyio.to_thread.run_sync,
                this.emit_in_thread,
                bus,
                f"thread {number}",
                rng.randint(1, 40),
                rng.randrange(1 << 30),
            )
    this.check(bus)
    return this.emits


def run(seed: int, seconds: float) -> int:
    """Rounds from `seed` on, until the time is up; how many emits."""
    done = 0
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        backend, options = LOOPS[number % len(LOOPS)]
        done += anyio.run(_round, seed * 1000 + number, backend=backend, backend_options=options)
        number += 1
    return done
