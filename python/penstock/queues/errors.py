"""The errors of queues: penstock's families, and at once what readers of a queue already catch.

They are subclasses of the `queue` module's classes and of asyncio's, as one queue serves both
kinds of code. `QueueShutDown` inherits from theirs where they exist (Python 3.13).

Native code makes them with `__new__` alone, so what `__init__` would set has a default here.
"""

from __future__ import annotations

import asyncio
import queue
import sys

from penstock.errors import Closed, Empty, Full

__all__ = ("QueueEmpty", "QueueFull", "QueueShutDown")


class QueueFull(Full, asyncio.QueueFull):
    """There was no room, now or in time; also a `queue.Full` and an `asyncio.QueueFull`."""

    hint: str | None = None
    accepted: int = 0
    """Of a batch: how many of its items went in before, and stay in."""


class QueueEmpty(Empty, asyncio.QueueEmpty):
    """There was nothing to take, now or in time; also a `queue.Empty` and `asyncio.QueueEmpty`."""

    hint: str | None = None


if sys.version_info >= (3, 13):

    class _ShutDown(Closed, queue.ShutDown, asyncio.QueueShutDown):
        pass

else:

    class _ShutDown(Closed):
        pass


class QueueShutDown(_ShutDown):
    """The queue was shut down; from Python 3.13 also `queue.ShutDown`, `asyncio.QueueShutDown`."""

    hint: str | None = (
        "make a new queue; who takes until the end iterates, and who puts asks `is_shutdown` first"
    )
    accepted: int = 0
    """Of a batch: how many of its items went in before the shutdown."""
