"""How each library emits an event `x`, in its best form for the question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Emit = tuple[Callable[..., Any], str | None]
"""What emits, and the event's name if that is its first argument."""
Handlers = list[Any]


# --- plain functions, in the thread that emits -------------------------------------------------


def penstock_sync(handlers: Handlers) -> Emit:
    from penstock import EventBus

    bus = EventBus("bench")
    for handler in handlers:
        bus.on("x", handler)
    emit = bus.sync.emit
    return emit, "x"


def pyee_sync(handlers: Handlers) -> Emit:
    from pyee import EventEmitter

    emitter = EventEmitter()
    for handler in handlers:
        emitter.add_listener("x", handler)
    emit = emitter.emit
    return emit, "x"


def blinker_sync(handlers: Handlers) -> Emit:
    from blinker import Signal

    signal = Signal()
    for handler in handlers:
        signal.connect(handler, weak=False)
    return signal.send, None


def pymitter_sync(handlers: Handlers) -> Emit:
    from pymitter import EventEmitter

    emitter = EventEmitter()
    for handler in handlers:
        emitter.on("x", handler)
    emit = emitter.emit
    return emit, "x"


def calls(handlers: Handlers) -> Emit:
    def emit(data: int) -> list[int]:
        return [handler(data) for handler in handlers]

    return emit, None


def penstock_wildcard(handlers: Handlers) -> Emit:
    from penstock import EventBus

    bus = EventBus("bench")
    for handler in handlers:
        bus.on("user.*", handler)
    emit = bus.sync.emit
    return emit, "user.created"


def pymitter_wildcard(handlers: Handlers) -> Emit:
    from pymitter import EventEmitter

    emitter = EventEmitter(wildcard=True)
    for handler in handlers:
        emitter.on("user.*", handler)
    emit = emitter.emit
    return emit, "user.created"


# --- async functions, with what came of each -----------------------------------------------------


def penstock(handlers: Handlers) -> Emit:
    from penstock import EventBus

    bus = EventBus("bench")
    for handler in handlers:
        bus.on("x", handler)
    emit = bus.emit
    return emit, "x"


def blinker(handlers: Handlers) -> Emit:
    from blinker import Signal

    signal = Signal()
    for handler in handlers:
        signal.connect(handler, weak=False)
    return signal.send_async, None


def pymitter(handlers: Handlers) -> Emit:
    from pymitter import EventEmitter

    emitter = EventEmitter()
    for handler in handlers:
        emitter.on("x", handler)
    emit = emitter.emit_async
    return emit, "x"


def pyee(handlers: Handlers) -> Emit:
    from pyee.asyncio import AsyncIOEventEmitter

    emitter = AsyncIOEventEmitter()
    for handler in handlers:
        emitter.add_listener("x", handler)

    async def emit(data: int) -> None:
        emitter.emit("x", data)
        await emitter.wait_for_complete()

    return emit, None


def bubus(handlers: Handlers) -> Emit:
    import logging
    import os

    os.environ.setdefault("BUBUS_LOGGING_LEVEL", "ERROR")
    from bubus import BaseEvent, EventBus

    logging.getLogger("bubus").setLevel(logging.ERROR)

    class X(BaseEvent):  # type: ignore[misc]
        number: int

    bus = EventBus("bench", parallel_handlers=True, max_history_size=10)
    for number, handler in enumerate(handlers):

        async def hear(event: Any, handler: Any = handler) -> int:
            result: int = await handler(event.number)
            return result

        hear.__name__ = hear.__qualname__ = f"hear_{number}"
        bus.on(X, hear)

    async def emit(data: int) -> None:
        await bus.dispatch(X(number=data))

    # Its task takes no notice of being cancelled at the loop's end.
    emit.stop = lambda: bus.stop(timeout=0)  # type: ignore[attr-defined]
    return emit, None


def gather(handlers: Handlers) -> Emit:
    def emit(data: int) -> Any:
        return asyncio.gather(*[each(data) for each in handlers], return_exceptions=True)

    return emit, None


def task_group(handlers: Handlers) -> Emit:
    async def emit(data: int) -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each(data)) for each in handlers]
        return [task.result() for task in tasks]

    return emit, None


def awaits(handlers: Handlers) -> Emit:
    async def emit(data: int) -> list[int]:
        return [await handler(data) for handler in handlers]

    return emit, None
