"""Handlers on trio: started in order, each in a task of a nursery from where it suspends.

trio has no documented way to make another task current during a step that is made by hand, so none
is
made: a task of the emission's nursery starts the handlers one after the other, and the first that
suspends keeps it; another task goes on with the next handler. trio runs the tasks of one turn in an
order drawn by lot, so that one is made only then. As many tasks as handlers suspend, and one.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from penstock._native import Outcomes, Route
from penstock.errors import Misuse

from .depth import depth
from .serial import waiting_for

if TYPE_CHECKING:
    import trio

    from .bus import EventBus

__all__ = ("Course",)

Told = tuple[Any, BaseException | None, bool, float]


class Course:
    """One emission on trio."""

    def __init__(self, bus: EventBus, key: str | type, data: Any, *, is_awaited: bool) -> None:
        self.depth = depth.get() + 1
        if self.depth > bus.max_depth:
            name = key.__qualname__ if isinstance(key, type) else key
            raise Misuse(
                f"{bus!r}: handlers emit in a circle, {bus.max_depth} emissions deep: … {name}",
                hint="let one of them not emit what leads back to it; max_depth= allows more",
            )
        route = bus._find_route(key)
        if route.is_special:
            route = bus._select(route, is_awaited)
        bus._count()
        self.route: Route = route
        self._handlers = route.handlers
        self._key = key
        self._data = data
        self._is_awaited = is_awaited
        self._context = copy_context()
        self._context.run(depth.set, self.depth)
        self._told: list[Told] = [(None, None, True, 0.0)] * len(self._handlers)
        self._nursery: trio.Nursery
        self._started: Callable[[], object]

    async def run(self, started: Callable[[], object]) -> Outcomes:
        """Calls every handler; `started` when each has made its first step."""
        import trio

        self._started = started
        try:
            with waiting_for(self.route if self._is_awaited else None):
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._go, 0)
        finally:
            started()
        return Outcomes.of(self.route, self._told)

    async def _go(self, index: int) -> None:
        """Calls handlers from this one on, until one suspends."""
        while index < len(self._handlers):
            handler = self._handlers[index]
            context = self._context.copy()
            has_suspended = False

            def suspended(following: int = index + 1) -> None:
                nonlocal has_suspended
                has_suspended = True
                self._go_on(following)

            began = time.perf_counter()
            result, error = None, None
            try:
                result = context.run(handler, self._data, self._key)
                if hasattr(result, "__await__"):
                    result = await _stepped(result, context, suspended)
                handler.tally.count(1, 0, 0)
            except Exception as raised:  # whatever a handler raises is its outcome
                handler.tally.count(0, 1, 0)
                result, error = None, raised
            except BaseException:
                handler.tally.count(0, 0, 1)
                raise
            self._told[index] = (result, error, False, time.perf_counter() - began)
            if has_suspended:
                return
            index += 1
        self._end_of_start()

    def _go_on(self, index: int) -> None:
        if index < len(self._handlers):
            self._nursery.start_soon(self._go, index)
        else:
            self._end_of_start()

    def _end_of_start(self) -> None:
        self._data = None
        self._started()


@types.coroutine
def _stepped(
    awaitable: Any, context: Context, suspended: Callable[[], object]
) -> Generator[Any, Any, Any]:
    """Awaits it in a context of its own, and says when it first suspends."""
    iterator = awaitable if hasattr(awaitable, "send") else awaitable.__await__()
    step, given = iterator.send, None
    is_first = True
    while True:
        try:
            yielded = context.run(step, given)
        except StopIteration as end:
            return end.value
        if is_first:
            is_first = False
            suspended()
        try:
            given = yield yielded
            step = iterator.send
        except BaseException as thrown:  # handed on to whom it is for
            step, given = iterator.throw, thrown
