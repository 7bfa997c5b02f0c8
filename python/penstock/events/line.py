"""Emissions that start one after the other, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from penstock._loops import Place, current_hub

__all__ = ("Line",)


class Line:
    """For one loop."""

    def __init__(self) -> None:
        self._ahead: deque[Place] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], None]]:
        """When it is the caller's turn. What it gives ends the turn before the block does."""
        place = current_hub().place()
        self._ahead.append(place)

        def end() -> None:
            if place in self._ahead:
                was_first = self._ahead[0] is place
                self._ahead.remove(place)
                if was_first and self._ahead:
                    self._ahead[0].wake()

        try:
            if self._ahead[0] is not place:
                await place.wait()
            yield end
        finally:
            end()
