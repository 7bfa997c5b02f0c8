"""Stages that call nothing: they group, cut and pass on."""

from __future__ import annotations

from typing import Any

from .step import Step

__all__ = ("Batch", "Skip", "Take")


class Batch(Step):
    """Lists of `size` items, the last one shorter; an error lets the unfinished one go."""

    def __init__(self, name: str, upstream: Step, size: int) -> None:
        super().__init__(name, upstream)
        self._size = size
        self._held: list[Any] = []

    async def pull(self, want: int) -> list[Any] | None:
        items = await self._receive(self._size * want - len(self._held))
        if items is None:
            rest, self._held = self._held, []
            return self._emit([rest]) if rest else None
        if not self._held:
            self._held = items
        else:
            self._held += items
        return self._cut()

    def buffered(self) -> int:
        return len(self._held)

    def _cut(self) -> list[Any]:
        held, size = self._held, self._size
        full = len(held) - len(held) % size
        if not full:
            return []
        self._held = held[full:]
        return self._emit([held[at : at + size] for at in range(0, full, size)])


class Take(Step):
    """The first items; the stages before are not asked for more than that."""

    def __init__(self, name: str, upstream: Step, count: int) -> None:
        super().__init__(name, upstream)
        self._left = count

    async def pull(self, want: int) -> list[Any] | None:
        if not self._left:
            return None
        items = await self._receive(min(want, self._left))
        if items is None:
            return None
        del items[self._left :]
        self._left -= len(items)
        return self._emit(items)


class Skip(Step):
    """All but the first items."""

    def __init__(self, name: str, upstream: Step, count: int) -> None:
        super().__init__(name, upstream)
        self._left = count

    async def pull(self, want: int) -> list[Any] | None:
        items = await self._receive(want + self._left)
        if items and self._left:
            gone = min(self._left, len(items))
            self._left -= gone
            del items[:gone]
        return items if items is None else self._emit(items)
