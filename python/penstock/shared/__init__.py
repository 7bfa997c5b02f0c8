"""Hand items, bytes and arrays between processes: bounded, and unharmed by anybody's death."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from penstock._native import Lease, SharedQueue

from .payload import OUT_OF_BAND, Payload, dump, load
from .statistics import SharedQueueStatistics

if TYPE_CHECKING:
    from .array import SharedArray
    from .errors import LeaseLost, Unreadable

__all__ = (
    "OUT_OF_BAND",
    "Lease",
    "LeaseLost",
    "Payload",
    "SharedArray",
    "SharedQueue",
    "SharedQueueStatistics",
    "Unreadable",
    "dump",
    "load",
)

# Loaded when they are first needed: numpy, for one, may not be there.
_LATE = {"LeaseLost": "errors", "SharedArray": "array", "Unreadable": "errors"}


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
