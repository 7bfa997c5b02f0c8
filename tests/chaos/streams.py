"""Random pipelines, ended in every way at a random moment: nothing lost, doubled or left behind.

Each round builds a pipeline of hand-overs and calls over a numbered source, reads from it with
timeouts around single waits, and ends it by its end, by leaving, by a scope, by a native cancel,
or by a failing stage. What was read must be the numbers from 1 on (in any order, without a gap
beyond what was in flight, where order was given up); the source must be closed; no task of the
run may be alive.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvloop
from anyio.lowlevel import checkpoint

from penstock import Stream

LOOPS: list[tuple[str, dict[str, Any]]] = [
    ("asyncio", {}),
    ("asyncio", {"loop_factory": uvloop.new_event_loop}),
    ("trio", {}),
]


class Planned(Exception):
    """The failure that a round has asked for."""


@dataclass
class Round:
    random: random.Random
    length: int = 0
    fails_at: int | None = None
    ordered: bool = True
    works: bool = False
    closed: bool = False
    running: int = 0
    got: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.length = self.random.randrange(400)
        self.ordered = self.random.random() < 0.7
        if self.random.random() < 0.3:
            self.fails_at = self.random.randint(1, 400)

    async def source(self) -> AsyncIterator[int]:
        try:
            for number in range(1, self.length + 1):
                if self.random.random() < 0.1:
                    await checkpoint()
                yield number
        finally:
            self.closed = True

    async def work(self, number: int) -> int:
        self.running += 1
        try:
            for _ in range(self.random.randrange(4)):
                await checkpoint()
            if number == self.fails_at:
                raise Planned(number)
            return number
        finally:
            self.running -= 1

    def stream(self) -> Stream[int]:
        # The source has a task of its own: a wait that is cancelled must not interrupt it.
        stream: Stream[Any] = Stream.from_iterable(self.source()).buffer(self.random.randint(1, 5))
        for _ in range(self.random.randrange(4)):
            match self.random.randrange(5):
                case 0:
                    self.works = True
                    stream = stream.map(
                        self.work,
                        concurrency=self.random.randint(2, 9),
                        ordered=self.ordered,
                    )
                case 1:
                    stream = stream.buffer(self.random.randint(1, 9))
                case 2:
                    stream = stream.map(lambda number: number)
                case 3:
                    size = self.random.randint(1, 6)
                    stream = stream.batch(size, within=0.001).flat_map(lambda batch: batch)
                case 4:
                    stream = stream.filter(lambda number: True)
        return stream

    async def read(self, stop: int) -> None:
        async with self.stream() as items:
            while len(self.got) < stop:
                try:
                    if self.random.random() < 0.2:
                        with anyio.move_on_after(0 if self.random.random() < 0.5 else 0.0005):
                            self.got.append(await anext(items))
                    else:
                        self.got.append(await anext(items))
                except StopAsyncIteration:
                    must_fail = self.works and (self.fails_at or self.length + 1) <= self.length
                    assert not must_fail, "a failure was lost"
                    assert sorted(self.got) == list(range(1, self.length + 1))
                    return

    async def run(self) -> int:
        stop = self.random.choice([1 << 30, self.random.randrange(200)])
        cancelled_after = self.random.choice([None, self.random.random() * 0.01])
        natively = self.random.random() < 0.5
        planned: Planned | None = None
        try:
            if cancelled_after is not None and natively and not in_trio():
                await self._cancelled_natively(stop, cancelled_after)
            else:
                with anyio.move_on_after(1000 if cancelled_after is None else cancelled_after):
                    await self.read(stop)
        except Planned as failure:
            planned = failure
        if planned is not None:
            assert planned.args == (self.fails_at,)
            assert planned.__notes__[0].startswith("penstock: raised in stage ")
        assert self.closed or not self.got, "the source was left open"
        assert self.running == 0, "a call outlived the run"
        assert len(set(self.got)) == len(self.got), "an item was doubled"
        if self.ordered:
            assert self.got == list(range(1, len(self.got) + 1)), "an item was lost"
        return len(self.got) + 1

    async def _cancelled_natively(self, stop: int, after: float) -> None:
        task = asyncio.ensure_future(self.read(stop))
        await asyncio.wait([task], timeout=after)
        if task.done():
            task.result()
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        alive = asyncio.all_tasks() - {asyncio.current_task()}
        assert not alive, f"left running: {alive}"


def in_trio() -> bool:
    import sniffio

    return sniffio.current_async_library() == "trio"


def run(seed: int, seconds: float) -> int:
    """Run rounds from this seed for so long; return how many items came through."""
    choice = random.Random(seed)
    until = time.monotonic() + seconds
    operations = 0
    while time.monotonic() < until:
        round_seed = choice.getrandbits(32)

        async def rounds(round_seed: int = round_seed) -> int:
            numbers = random.Random(round_seed)
            return sum([await Round(random.Random(numbers.random())).run() for _ in range(50)])

        backend, options = choice.choice(LOOPS)
        try:
            operations += anyio.run(rounds, backend=backend, backend_options=options)
        except AssertionError as violation:
            violation.add_note(f"seed {seed}, rounds {round_seed}, on {backend} {options}")
            raise
    return operations
