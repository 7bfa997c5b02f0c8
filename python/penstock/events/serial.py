"""One event at a time for a handler; the others wait for their turn, in order.

A handler that awaits an emit within its turn holds the turn meanwhile. What it then waits for is
noted here, so that a circle of handlers that wait for each other's turns is an error and not a
deadlock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from penstock._loops import Place, current_hub
from penstock.errors import Misuse

from .errors import Dropped

if TYPE_CHECKING:
    from penstock._native import Route

__all__ = ("Serial", "check_circle", "waiting_for")

_turns: ContextVar[tuple[Turn, ...]] = ContextVar("penstock_serial_turns", default=())
"""The turns that the running code is within, outermost first; child tasks and threads inherit
it."""

_HINT = "emit_nowait, without awaiting it, or leave out serial=True"


class Turn:
    """One event that a serial handler has, or waits to have, its turn with."""

    __slots__ = ("error", "has_turn", "place", "serial", "waits_for")

    def __init__(self, serial: Serial) -> None:
        self.serial = serial
        self.place: Place | None = None
        self.has_turn = False
        self.error: BaseException | None = None
        self.waits_for: list[Serial] = []
        """Serial handlers of emissions that are awaited within it."""


class Serial:
    """The turns of one handler. Of the bus's loop alone."""

    def __init__(
        self,
        label: str,
        call: Callable[..., Awaitable[Any]],
        backlog: int,
        overflow: str,
        dropped: Callable[[], None],
    ) -> None:
        self.label = label
        self.call = call
        self._backlog = backlog
        self._overflow = overflow
        self._dropped = dropped
        self._waiting: deque[Turn] = deque()
        self.holder: Turn | None = None

    async def __call__(self, *args: Any) -> Any:
        """Calls the handler when it is this event's turn."""
        turn = Turn(self)
        _turns.set((*_turns.get(), turn))  # in the handler's own context
        if self.holder is None:
            self.holder = turn
        else:
            await self._wait(turn)
        try:
            return await self.call(*args)
        finally:
            self._pass_on()

    async def _wait(self, turn: Turn) -> None:
        if len(self._waiting) >= self._backlog:
            self._dropped()
            full = Dropped(
                f"serial handler {self.label} has {self._backlog} events waiting",
                hint="a larger backlog=, or a quicker handler",
            )
            if self._overflow != "drop_oldest" or not self._waiting:
                raise full
            oldest = self._waiting.popleft()
            oldest.error = full
            assert oldest.place is not None
            oldest.place.wake()
        turn.place = current_hub().place()
        self._waiting.append(turn)
        try:
            await turn.place.wait()
        except BaseException:
            if turn.has_turn:
                self._pass_on()
            elif turn.error is None:
                self._waiting.remove(turn)
            raise
        if turn.error is not None:
            raise turn.error

    def _pass_on(self) -> None:
        self.holder = None
        if self._waiting:
            turn = self._waiting.popleft()
            self.holder = turn
            turn.has_turn = True
            assert turn.place is not None
            turn.place.wake()


def check_circle(route: Route) -> None:
    """Raises Misuse if the running code, within a serial handler's turn, would wait for it."""
    turns = _turns.get()
    if turns:
        _check(turns, _serials(route))


@contextmanager
def waiting_for(route: Route | None) -> Iterator[None]:
    """Around waiting for what came of an emission. Raises Misuse where that would be for ever."""
    turns = _turns.get()
    if not turns or route is None:
        yield
        return
    serials = _serials(route)
    _check(turns, serials)
    for turn in turns:
        turn.waits_for += serials
    try:
        yield
    finally:
        for turn in turns:
            for serial in serials:
                turn.waits_for.remove(serial)


def _serials(route: Route) -> list[Serial]:
    found = (handler.subscription.serial for handler in route.handlers)
    return [serial for serial in found if serial is not None]


def _check(turns: tuple[Turn, ...], serials: list[Serial]) -> None:
    """Follows who waits for whose turn, and does not come back to where it began."""
    ours = {id(turn) for turn in turns}
    paths: list[tuple[Serial, ...]] = [(serial,) for serial in serials]
    seen: set[int] = set()
    while paths:
        path = paths.pop()
        holder = path[-1].holder
        if holder is None or id(holder) in seen:
            continue
        if id(holder) in ours:
            first = path[-1].label
            names = [first, *(turn.serial.label for turn in turns if turn.serial is not path[-1])]
            names += [serial.label for serial in path]
            raise Misuse(
                f"serial handler {first} would wait for itself: {' → '.join(names)}", hint=_HINT
            )
        seen.add(id(holder))
        paths += [(*path, each) for each in holder.waits_for]
