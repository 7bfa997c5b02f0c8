"""The ways by which calls of a C library's own thread come into a task of an event loop.

Those without penstock are what projects write by hand: a cffi closure, which takes the lock of the
interpreter for each call, and what carries the call over.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benches.adapters.library import ffi_and_library

BOUND = 4096


@dataclass(frozen=True, slots=True)
class End:
    """What is handed to C, and how its calls are taken: singly, in batches, or by iteration."""

    pointer: Any
    take: Callable[[], Awaitable[Any]] | None = None
    take_many: Callable[[], Awaitable[list[Any]]] | None = None
    each: AsyncIterator[Any] | None = None


Way = Callable[[str, Callable[..., Any]], AbstractAsyncContextManager[End]]


@asynccontextmanager
async def penstock_singly(kind: str, _: object) -> AsyncIterator[End]:
    async with _penstock(kind) as callback:
        yield End(callback.cdata(), take=callback.aget, each=aiter(callback))


@asynccontextmanager
async def penstock_batches(kind: str, _: object) -> AsyncIterator[End]:
    async with _penstock(kind) as callback:

        async def take_many() -> list[Any]:
            batch: list[Any] = await callback.aget_many(1024)
            return batch

        yield End(callback.cdata(), take_many=take_many)


def _penstock(kind: str) -> Any:
    from penstock.adapters import from_c_callback

    ffi, _ = ffi_and_library()
    copy: Any = {1: 2} if kind == "block_fn" else None
    return from_c_callback(ffi.typeof(kind), copy=copy, max_items=BOUND)


@asynccontextmanager
async def call_soon(kind: str, read: Callable[..., Any]) -> AsyncIterator[End]:
    ffi, _ = ffi_and_library()
    items: asyncio.Queue[Any] = asyncio.Queue()
    call, put = asyncio.get_running_loop().call_soon_threadsafe, items.put_nowait

    @ffi.callback(ffi.typeof(kind))
    def closure(*arguments: Any) -> None:
        call(put, read(*arguments))

    yield End(closure, take=items.get)


@asynccontextmanager
async def janus(kind: str, read: Callable[..., Any]) -> AsyncIterator[End]:
    import janus

    ffi, _ = ffi_and_library()
    items: Any = janus.Queue(maxsize=BOUND)
    put = items.sync_q.put

    @ffi.callback(ffi.typeof(kind))
    def closure(*arguments: Any) -> None:
        put(read(*arguments))

    try:
        yield End(closure, take=items.async_q.get)
    finally:
        await items.aclose()


@asynccontextmanager
async def culsans(kind: str, read: Callable[..., Any]) -> AsyncIterator[End]:
    import culsans

    ffi, _ = ffi_and_library()
    items: Any = culsans.Queue(maxsize=BOUND)
    put = items.sync_q.put

    @ffi.callback(ffi.typeof(kind))
    def closure(*arguments: Any) -> None:
        put(read(*arguments))

    yield End(closure, take=items.async_q.get)


@asynccontextmanager
async def threads(kind: str, read: Callable[..., Any]) -> AsyncIterator[End]:
    ffi, _ = ffi_and_library()
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    put = items.put

    @ffi.callback(ffi.typeof(kind))
    def closure(*arguments: Any) -> None:
        put(read(*arguments))

    yield End(closure, take=lambda: asyncio.to_thread(items.get))
