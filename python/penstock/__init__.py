"""What Go, Rust and the JVM have built in, for Python services.

Names are loaded on first use, so that `import penstock` costs the extension module and no more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._native import __version__

if TYPE_CHECKING:
    from . import metrics
    from .errors import PenstockError
    from .messages import Message, MessageQueue, Page, Reject, RetryLater
    from .queues import Queue
    from .resilience import Retry
    from .streams import Stream
    from .workers import WorkerPool

__all__ = (
    "Message",
    "MessageQueue",
    "Page",
    "PenstockError",
    "Queue",
    "Reject",
    "Retry",
    "RetryLater",
    "Stream",
    "WorkerPool",
    "__version__",
    "metrics",
)

# Public name → the room that defines it; a room may be public itself.
_ROOMS = {
    "Message": "messages",
    "MessageQueue": "messages",
    "Page": "messages",
    "PenstockError": "errors",
    "Queue": "queues",
    "Reject": "messages",
    "Retry": "resilience",
    "RetryLater": "messages",
    "Stream": "streams",
    "WorkerPool": "workers",
    "metrics": "metrics",
}


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{room}")
    value: object = module if name == room else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
