"""What Go, Rust and the JVM have built in, for Python services.

Names are loaded on first use, so that `import penstock` costs the extension module and no more.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING


def _refuse_subinterpreters() -> None:
    # The extension's classes exist once per process, and die with the interpreter that made them.
    # Python 3.12 and later refuse it only in isolated subinterpreters, 3.11 in none.
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    try:
        interpreters = importlib.import_module(name)
    except ImportError:  # a Python built without them
        return
    current = interpreters.get_current()
    if current == interpreters.get_main():
        return
    number = current[0] if isinstance(current, tuple) else int(current)
    error = ImportError(
        f"penstock works in the main interpreter only, and this is subinterpreter {number}",
        name=__name__,
    )
    error.add_note(
        "hint: use a thread of the main interpreter or a process of its own; "
        "under mod_wsgi set WSGIApplicationGroup %{GLOBAL}"
    )
    raise error


_refuse_subinterpreters()

from ._native import __version__  # noqa: E402 - not before it is certain where this runs

if TYPE_CHECKING:
    from . import metrics, saga, tracing
    from .adapters import (
        LegacyAdapter,
        Strangler,
        c_call,
        callbackify,
        from_c_callback,
        from_callback,
        from_callbacks,
        promisify,
        to_async,
        to_sync,
    )
    from .client import ServiceClient
    from .cqrs import Command, CommandBus, Query, QueryBus, StreamQuery
    from .errors import PenstockError
    from .events import EventBus
    from .loop import LoopMonitor
    from .messages import Message, MessageQueue, Page, Reject, RetryLater
    from .outbox import Inbox, Outbox, Relay
    from .queues import LifoQueue, PriorityQueue, Queue, select
    from .resilience import (
        AdaptiveLimit,
        Bulkhead,
        Cache,
        Chaos,
        CircuitBreaker,
        Deadline,
        Fallback,
        Hedge,
        Policy,
        RateLimit,
        Retry,
        Timeout,
    )
    from .saga import Saga, SagaStore
    from .service import Service
    from .shared import SharedArray, SharedQueue
    from .shared.c_interface import extension_path, include_dir, library_path
    from .streams import Stream, Transform
    from .workers import WorkerPool, run_in_worker

__all__ = (
    "AdaptiveLimit",
    "Bulkhead",
    "Cache",
    "Chaos",
    "CircuitBreaker",
    "Command",
    "CommandBus",
    "Deadline",
    "EventBus",
    "Fallback",
    "Hedge",
    "Inbox",
    "LegacyAdapter",
    "LifoQueue",
    "LoopMonitor",
    "Message",
    "MessageQueue",
    "Outbox",
    "Page",
    "PenstockError",
    "Policy",
    "PriorityQueue",
    "Query",
    "QueryBus",
    "Queue",
    "RateLimit",
    "Reject",
    "Relay",
    "Retry",
    "RetryLater",
    "Saga",
    "SagaStore",
    "Service",
    "ServiceClient",
    "SharedArray",
    "SharedQueue",
    "Strangler",
    "Stream",
    "StreamQuery",
    "Timeout",
    "Transform",
    "WorkerPool",
    "__version__",
    "c_call",
    "callbackify",
    "extension_path",
    "from_c_callback",
    "from_callback",
    "from_callbacks",
    "include_dir",
    "library_path",
    "metrics",
    "promisify",
    "run_in_worker",
    "saga",
    "select",
    "to_async",
    "to_sync",
    "tracing",
)

# Public name → the room that defines it, or the module of one; a room may be public itself.
_ROOMS = {
    "AdaptiveLimit": "resilience",
    "Bulkhead": "resilience",
    "Cache": "resilience",
    "Chaos": "resilience",
    "CircuitBreaker": "resilience",
    "Command": "cqrs",
    "CommandBus": "cqrs",
    "Deadline": "resilience",
    "EventBus": "events",
    "Fallback": "resilience",
    "Hedge": "resilience",
    "Inbox": "outbox",
    "LegacyAdapter": "adapters",
    "LifoQueue": "queues",
    "LoopMonitor": "loop",
    "Message": "messages",
    "MessageQueue": "messages",
    "Outbox": "outbox",
    "Page": "messages",
    "PenstockError": "errors",
    "Policy": "resilience",
    "PriorityQueue": "queues",
    "Query": "cqrs",
    "QueryBus": "cqrs",
    "Queue": "queues",
    "RateLimit": "resilience",
    "Reject": "messages",
    "Relay": "outbox",
    "Retry": "resilience",
    "RetryLater": "messages",
    "Saga": "saga",
    "SagaStore": "saga",
    "Service": "service",
    "ServiceClient": "client",
    "SharedArray": "shared",
    "SharedQueue": "shared",
    "Strangler": "adapters",
    "Stream": "streams",
    "StreamQuery": "cqrs",
    "Timeout": "resilience",
    "Transform": "streams",
    "WorkerPool": "workers",
    "c_call": "adapters",
    "callbackify": "adapters",
    "extension_path": "shared.c_interface",
    "from_c_callback": "adapters",
    "from_callback": "adapters",
    "from_callbacks": "adapters",
    "include_dir": "shared.c_interface",
    "library_path": "shared.c_interface",
    "metrics": "metrics",
    "promisify": "adapters",
    "run_in_worker": "workers",
    "saga": "saga",
    "select": "queues",
    "to_async": "adapters",
    "to_sync": "adapters",
    "tracing": "tracing",
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
