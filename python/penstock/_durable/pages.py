"""Lists are handed out in pages: a store may hold millions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and where it goes on."""

    items: tuple[T, ...]
    ids: tuple[str, ...]
    """The ids of the items, as `redrive` takes them."""
    next: str | None
    """Give it as `after=` for the next page; None: this is the last one."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
