"""What was emitted lately, bounded by bytes."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from penstock.errors import Misuse

__all__ = ("History", "Past")


@dataclass(frozen=True, slots=True)
class Past:
    """One event that was emitted."""

    number: int
    """Rises by one with each event of the bus."""
    event: str | type
    data: Any
    at: float
    """Seconds since 1970."""
    size: int


def _size_of(data: Any) -> int:
    """Bytes, as JSON if it can be, and otherwise of the object alone."""
    from penstock._durable.codec import JsonCodec

    try:
        return len(JsonCodec().encode(data))
    except (TypeError, ValueError):
        return sys.getsizeof(data)


class History:
    """Keeps what a bus emits, up to so many bytes; the oldest go first.

    For one bus: `EventBus("orders", history=History(max_bytes=1 << 20))`, then `bus.replay(...)`.
    It costs the straight way through: an emit takes some microseconds more. It holds the events
    themselves, so they must not be changed afterwards. For what has to outlive the process, bridge
    to an `Outbox` or a `MessageQueue` instead.

    Args:
        max_bytes: of all events together.
        size_of: of one event's data, in bytes; by default the length of its JSON, or the size of
            the object alone where it has none. An event larger than `max_bytes` is not kept.

    Any thread may read it.

    """

    def __init__(self, *, max_bytes: int, size_of: Callable[[Any], int] = _size_of) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes <= 0:
            raise Misuse(f"History: max_bytes={max_bytes!r}", hint="bytes, above 0")
        if not callable(size_of):
            raise Misuse(f"History: size_of={size_of!r} cannot be called", hint="a function")
        self.max_bytes = max_bytes
        self._size_of = size_of
        self._kept: deque[Past] = deque()
        self._lock = threading.Lock()
        self._number = 0
        self.size = 0
        """Bytes that are kept."""
        self.owner: object = None

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Past]:
        """The oldest first, as they are kept now."""
        with self._lock:
            return iter(list(self._kept))

    def add(self, event: str | type, data: Any) -> None:
        """Keeps one event; for the bus."""
        size = self._size_of(data)
        with self._lock:
            self._number += 1
            if size > self.max_bytes:
                return
            self._kept.append(Past(self._number, event, data, time.time(), size))
            self.size += size
            while self.size > self.max_bytes:
                self.size -= self._kept.popleft().size
