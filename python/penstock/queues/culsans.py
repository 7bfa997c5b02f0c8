"""The names of culsans 0.11, for its programs: `from penstock.queues import culsans`.

Each is the queue of penstock with the methods that culsans gives a queue beside its two sides. Its
green side (gevent, eventlet), its grouper and the hooks for subclasses have no counterpart here.
"""

from __future__ import annotations

from typing import Any, TypeVar

from penstock import _native

from .errors import QueueEmpty, QueueFull, QueueShutDown
from .janus import (
    AsyncQueueEmpty,
    AsyncQueueFull,
    AsyncQueueShutDown,
    Closing,
    SyncQueueEmpty,
    SyncQueueFull,
    SyncQueueShutDown,
)
from .views import AsyncQueue, SyncQueue

__all__ = (
    "AsyncQueue",
    "AsyncQueueEmpty",
    "AsyncQueueFull",
    "AsyncQueueShutDown",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "SyncQueue",
    "SyncQueueEmpty",
    "SyncQueueFull",
    "SyncQueueShutDown",
)

T = TypeVar("T")


class Mixed(Closing):
    """The figures that culsans shows of a queue."""

    @property
    def putting(self: _native.Queue[Any]) -> int:  # type: ignore[misc]
        """How many wait for room."""
        return self.statistics().waiting_putters

    @property
    def getting(self: _native.Queue[Any]) -> int:  # type: ignore[misc]
        """How many wait for an item."""
        return self.statistics().waiting_getters

    @property
    def waiting(self: _native.Queue[Any]) -> int:  # type: ignore[misc]
        """How many wait, on either side."""
        figures = self.statistics()
        return figures.waiting_putters + figures.waiting_getters

    def peekable(self) -> bool:
        """Whether `peek` works: always."""
        return True

    def clearable(self) -> bool:
        """Whether `clear` works: always."""
        return True


class Queue(Mixed, _native.Queue[T]):
    """`penstock.Queue`, with the names of culsans."""


class LifoQueue(Mixed, _native.LifoQueue[T]):
    """`penstock.LifoQueue`, with the names of culsans."""


class PriorityQueue(Mixed, _native.PriorityQueue[T]):
    """`penstock.PriorityQueue`, with the names of culsans."""
