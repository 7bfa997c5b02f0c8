"""Hand items between threads and event loops: bounded, lossless under cancellation, observable."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from penstock._native import (
    LifoQueue,
    PriorityQueue,
    Queue,
    Reservation,
    select,
    select_blocking,
)

from .statistics import QueueStatistics

if TYPE_CHECKING:
    from .errors import QueueEmpty, QueueFull, QueueShutDown

__all__ = (
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "QueueStatistics",
    "Reservation",
    "select",
    "select_blocking",
)


def __getattr__(name: str) -> object:
    # The errors inherit from asyncio's, so they are not loaded before the first one is needed.
    if name in {"QueueEmpty", "QueueFull", "QueueShutDown"}:
        value = getattr(importlib.import_module(f"{__name__}.errors"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
