"""Event loops that live as long as a contender, so that starting one is never timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from benches.case import Lap

Body = Callable[[], Awaitable[Lap]]
Run = Callable[[Body], Lap]
Loop = Literal["asyncio", "uvloop", "trio"]

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
