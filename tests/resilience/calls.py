"""Calls that run beside the test, and can be cancelled in both ways there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.loops import LOOPS, NATIVE

__all__ = ("Call", "Work", "everywhere", "turn_until")

everywhere = pytest.mark.parametrize(
    ("anyio_backend", "how"),
    [
        pytest.param(backend, how, id=f"{name}-{how}")
        for name, backend in LOOPS.items()
        for how in (("scope", "native") if name in NATIVE else ("scope",))
    ],
)
"""Each loop, each way of cancelling: a scope around the task, or `task.cancel()`."""


async def turn_until(condition: Callable[[], object]) -> None:
    """Lets the loop turn until the condition holds; the test's own limit ends it otherwise."""
    while not condition():
        await anyio.lowlevel.checkpoint()


class Call:
    """An awaited function in a task of its own."""

    def __init__(self, how: str, fn: Callable[[], Awaitable[Any]]) -> None:
        self.fn = fn
        self.how = how
        self.scope = anyio.CancelScope()
        self.task: asyncio.Task[None] | None = None
        self.outcome: Any = None
        self.is_over = False

    def start(self, group: Any) -> Call:
        if self.how == "native":
            self.task = asyncio.get_running_loop().create_task(self.run())
        else:
            group.start_soon(self.run)
        return self

    async def run(self) -> None:
        with self.scope:
            try:
                self.outcome = await self.fn()
            except anyio.get_cancelled_exc_class():
                self.outcome = "cancelled"
                raise
            except BaseException as error:
                self.outcome = error
            finally:
                self.is_over = True

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
        else:
            self.scope.cancel()

    async def ended(self) -> Any:
        await turn_until(lambda: self.is_over)
        if self.task is not None:
            await asyncio.wait([self.task])
        return self.outcome


class Work:
    """A function that hangs until told how to end; counts how it went."""

    def __init__(self) -> None:
        self.started = 0
        self.running = 0
        self.cancelled = 0
        self.gate = anyio.Event()
        self.result: Any = "done"
        self.errors: list[Exception] = []

    async def __call__(self, *_args: Any) -> Any:
        self.started += 1
        if self.errors:
            raise self.errors.pop(0)
        self.running += 1
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return self.result
