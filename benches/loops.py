"""Event loops that live as long as a contender, so that starting one is never timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, TypeVar

from benches.case import Lap

Body = Callable[[], Awaitable[Lap]]
Run = Callable[[Body], Lap]
Loop = Literal["asyncio", "uvloop", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop", "trio")

T = TypeVar("T")


@contextmanager
def kept(loop: Loop) -> Iterator[Run]:
    """Run async bodies on the named loop; each times itself, so trio's start-up stays outside."""
    if loop == "trio":
        import trio

        yield trio.run
        return
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:

        async def entered(body: Body) -> Lap:
            return await body()

        yield lambda body: runner.run(entered(body))


@asynccontextmanager
async def beside(loop: Loop, body: Callable[[], Any]) -> AsyncIterator[None]:
    """Run `body` as another task of the loop, which has ended when the context is left."""
    if loop == "trio":
        import trio

        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)
            yield
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(body())
        yield
