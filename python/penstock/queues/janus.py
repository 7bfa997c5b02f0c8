"""The names of janus 2.0, for its programs: `from penstock.queues import janus`.

Each is the queue of penstock with what janus calls closing. The differences are those that a
program can only gain from: any number of loops, uvloop and trio, nothing that must be closed, and
errors that are both libraries' own.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from typing import Any, TypeVar

from penstock import _native
from penstock.errors import Misuse

from .errors import QueueShutDown
from .views import AsyncQueue, SyncQueue

__all__ = (
    "AsyncQueue",
    "AsyncQueueEmpty",
    "AsyncQueueFull",
    "AsyncQueueShutDown",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "SyncQueue",
    "SyncQueueEmpty",
    "SyncQueueFull",
    "SyncQueueShutDown",
)

T = TypeVar("T")

SyncQueueEmpty = queue.Empty
SyncQueueFull = queue.Full
AsyncQueueEmpty = asyncio.QueueEmpty
AsyncQueueFull = asyncio.QueueFull
SyncQueueShutDown: type[Exception]
AsyncQueueShutDown: type[Exception]

if sys.version_info >= (3, 13):
    SyncQueueShutDown = queue.ShutDown
    AsyncQueueShutDown = asyncio.QueueShutDown
else:
    SyncQueueShutDown = AsyncQueueShutDown = QueueShutDown


class Closing:
    """What janus and culsans add to a queue of either order."""

    def close(self: _native.Queue[Any]) -> None:  # type: ignore[misc]
        """Shuts the queue down and drops what is inside."""
        self.shutdown(immediate=True)

    async def wait_closed(self: _native.Queue[Any]) -> None:  # type: ignore[misc]
        """Returns at once, as nothing goes on in the background; Misuse before `close`."""
        if not self.is_shutdown:
            raise Misuse(f"{self!r} is not closed", hint="call close() or shutdown() first")

    async def aclose(self: _native.Queue[Any]) -> None:  # type: ignore[misc]
        """Shuts the queue down and drops what is inside."""
        self.shutdown(immediate=True)

    @property
    def closed(self: _native.Queue[Any]) -> bool:  # type: ignore[misc]
        """Whether the queue was shut down."""
        return self.is_shutdown

    @property
    def unfinished_tasks(self: _native.Queue[Any]) -> int:  # type: ignore[misc]
        """Items put and not yet reported by `task_done`."""
        return self.statistics().unfinished


class Queue(Closing, _native.Queue[T]):
    """`penstock.Queue`, closed as janus closes it."""


class LifoQueue(Closing, _native.LifoQueue[T]):
    """`penstock.LifoQueue`, closed as janus closes it."""


class PriorityQueue(Closing, _native.PriorityQueue[T]):
    """`penstock.PriorityQueue`, closed as janus closes it."""
