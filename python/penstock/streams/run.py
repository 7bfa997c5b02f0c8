"""One run of a stream: its tasks, its items, its end.

The last segment runs in the task that iterates; each earlier one in a task of its own, in a
group that is opened with the block and left with it. Tasks of the group never raise: an error
travels along the hand-overs behind the items that came before it, and surfaces, as it is, in
the task that iterates. So the group's body is never cancelled from below, and what the user
sees is the first cause and not a group of one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from penstock.errors import Closed, Misuse

from .concurrent import ConcurrentMap
from .errors import locate
from .files import FileSource
from .lines import Lines
from .pace import EVERYTHING, Fairness
from .sinks import Sink
from .statistics import RunStatistics
from .step import Step

__all__ = ("Run",)

T = TypeVar("T")


class Run(Generic[T]):
    """The items of one run of a stream, to iterate inside its `async with` block.

    One task at a time may iterate; it may stop and go on, and a wait that is cancelled loses no
    item. `statistics()` may be called from any thread, also after the run.
    """

    def __init__(self, steps: list[Step], sink: Sink | None = None) -> None:
        self._steps = steps
        self._tail = steps[-1]
        self._sink = sink
        self._group: TaskGroup | None = None
        self._items: Iterator[T] = iter(())
        self._generators: list[AsyncGenerator[T]] = []
        self._fairness = Fairness()
        self._pulling = False
        self._state = "new"
        self._began = 0.0
        self._took = 0.0

    def __aiter__(self) -> AsyncIterator[T]:
        # A generator hands on an item in half the time of a coroutine. It holds nothing: the
        # items are in `_items`, and `__aexit__` closes it, so nothing is left to its finaliser.
        generator = self._each()
        self._generators.append(generator)
        return generator

    async def _each(self) -> AsyncGenerator[T]:
        while True:
            for item in self._items:
                yield item
            items = await self.take()
            if items is None:
                return
            self._items = iter(items)

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            items = await self.take()
            if items is None:
                raise StopAsyncIteration
            self._items = iter(items)

    async def take(self, want: int = EVERYTHING) -> list[T] | None:
        """Return the next items as a list, as many as are ready at once, or None at the end."""
        if self._state != "open":
            if self._state == "ended":
                return None
            raise Closed(
                "the stream's block has been left",
                hint="iterate over a stream only inside its `async with` block",
            )
        if self._pulling:
            raise Misuse(
                "two tasks iterate over one run of a stream",
                hint="let one task iterate, or use map(concurrency=…)",
            )
        self._pulling = True
        occupation = self._tail.occupation
        occupation.waiting = None
        try:
            while True:
                # Before the pull: a cancel seen here finds no item in our hands.
                await self._fairness.turn()
                items = await self._tail.pull(want)
                if items:
                    return items
                if items is None:
                    self._state = "ended"
                    return None
        except Exception:
            self._state = "ended"
            raise
        finally:
            self._pulling = False
            occupation.waiting = "downstream"

    def statistics(self) -> RunStatistics:
        """Return what has been counted so far, stage by stage; costs a few microseconds."""
        steps = self._steps
        source = steps[0]
        bytes_read, bytes_total = (
            (source.bytes_read, source.bytes_total) if isinstance(source, FileSource) else (0, 0)
        )
        read = source.tally.items_out
        if len(steps) > 1 and isinstance(steps[1], Lines):
            read = steps[1].tally.items_out + steps[1].tally.dropped
        stages = [step.statistics() for step in steps]
        if self._sink is not None:
            stages.append(self._sink.statistics())
        return RunStatistics(
            stages=tuple(stages),
            read=read,
            dropped=sum(step.tally.dropped for step in steps),
            bytes_read=bytes_read,
            bytes_total=bytes_total,
            seconds=perf_counter() - self._began if self._state != "closed" else self._took,
        )

    @property
    def is_under_way(self) -> bool:
        return self._state not in ("new", "closed")

    async def __aenter__(self) -> Run[T]:
        self._began = perf_counter()
        self._state = "opening"
        feeders = [step.feed for step in self._steps if hasattr(step, "feed")]
        try:
            source = self._steps[0]
            if isinstance(source, FileSource):
                await source.open()
            if feeders:
                self._group = anyio.create_task_group()
                await self._group.__aenter__()
        except BaseException:
            await self._close_steps()
            self._state = "closed"
            raise
        self._state = "open"
        self._tail.occupation.waiting = "downstream"
        if self._group is not None:
            for step in self._steps:
                if isinstance(step, ConcurrentMap):
                    step.spawn = self._group.start_soon
            for feed in feeders:
                self._group.start_soon(feed)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every stage and wait for it; raise only what ending itself brought up."""
        self._state = "closing"
        try:
            await self._leave_group(kind, error, traceback)
        finally:
            await self._close_generators()
            failure = await self._close_steps()
            self._took = perf_counter() - self._began
            self._state = "closed"
        if failure is not None:
            if error is None:
                raise failure
            error.add_note(f"penstock: closing failed as well: {failure!r}")

    async def _leave_group(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._group is None:
            return
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            cause = _beside(group, error)
        else:
            return
        if cause is not None:
            raise cause

    async def _close_generators(self) -> None:
        for generator in self._generators:
            # One that another task is waiting in ends by the `Closed` which that wait raises.
            with suppress(RuntimeError):
                await generator.aclose()

    async def _close_steps(self) -> Exception | None:
        """Close every stage, whatever one of them raises; return the first error."""
        first: Exception | None = None
        with anyio.CancelScope(shield=True):
            for step in reversed(self._steps):
                try:
                    await step.close()
                except Exception as error:  # noqa: BLE001
                    locate(error, f"{step.label}, closing")
                    first = first or error
        return first


def _beside(
    group: BaseExceptionGroup[BaseException], error: BaseException | None
) -> BaseException | None:
    """Return what a task group raises beside the error of the block, which goes on by itself.

    The group also holds cancels, the more if a scope outside has been cancelled meanwhile. They
    have done their work, and as a group they would hide the error's type.
    """
    cancelled = anyio.get_cancelled_exc_class()
    _, rest = group.split(lambda each: each is error or isinstance(each, cancelled))
    only: BaseException | None = rest if error is not None else rest or group
    while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
        only = only.exceptions[0]
    return only
