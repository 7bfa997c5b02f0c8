"""The queues that join threads and tasks, each at its best documented settings.

What only goes one way, or only between tasks, stands in the module of its row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from benches.case import Contender, Work
from benches.loops import LOOPS, Loop

BOUND = 1024


def missing(*_: object) -> Any:
    raise NotImplementedError("this queue has no such end")


class Ends(NamedTuple):
    """The ends of one queue: for threads `put` and `get`, for tasks `aput` and `aget`."""

    put: Callable[[int], Any] = missing
    get: Callable[[], int] = missing
    aput: Callable[[int], Awaitable[Any]] = missing
    aget: Callable[[], Awaitable[int]] = missing


Open = Callable[[], AbstractAsyncContextManager[Ends]]


@asynccontextmanager
async def penstock_ends() -> AsyncIterator[Ends]:
    from penstock import Queue

    queue = Queue[int](maxsize=BOUND)
    yield Ends(queue.put, queue.get, queue.aput, queue.aget)


@asynccontextmanager
async def culsans_ends() -> AsyncIterator[Ends]:
    import culsans

    queue = culsans.Queue[int](maxsize=BOUND)
    yield Ends(queue.sync_q.put, queue.sync_q.get, queue.async_q.put, queue.async_q.get)


@asynccontextmanager
async def janus_ends() -> AsyncIterator[Ends]:
    import janus

    queue = janus.Queue[int](maxsize=BOUND)
    try:
        yield Ends(queue.sync_q.put, queue.sync_q.get, queue.async_q.put, queue.async_q.get)
    finally:
        await queue.aclose()


@asynccontextmanager
async def aiologic_ends() -> AsyncIterator[Ends]:
    import aiologic

    queue = aiologic.SimpleQueue[int]()
    yield Ends(queue.green_put, queue.green_get, queue.async_put, queue.async_get)


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue whose ends are for threads and tasks alike; `names` are theirs, in that order."""

    name: str
    package: str
    open: Open
    names: Ends
    loops: tuple[Loop, ...] = LOOPS
    bound: str = f"maxsize {BOUND}"
    note: str = ""


PEERS = (
    Peer("penstock.Queue", "penstock", penstock_ends, Ends("put", "get", "aput", "aget")),
    Peer(
        "culsans.Queue",
        "culsans",
        culsans_ends,
        Ends("sync_q.put", "sync_q.get", "async_q.put", "async_q.get"),
        note="; checkpoints off, its default",
    ),
    Peer(
        "janus.Queue",
        "janus",
        janus_ends,
        Ends("sync_q.put", "sync_q.get", "async_q.put", "async_q.get"),
        loops=("asyncio", "uvloop"),
    ),
    Peer(
        "aiologic.SimpleQueue",
        "aiologic",
        aiologic_ends,
        Ends("green_put", "green_get", "async_put", "async_get"),
        bound="no bound, as its bounded queue is several times slower",
        note="; checkpoints off, its default",
    ),
)


def joining(
    loop: Loop, timed: Callable[[Loop, Open], AbstractContextManager[Work]], *ends: str
) -> list[Contender]:
    """Those that run on the loop, penstock first, for a row that uses these of their ends."""
    return [
        Contender(
            peer.name,
            ", ".join(f"`{getattr(peer.names, end)}`" for end in ends)
            + f", {peer.bound}{peer.note}",
            partial(timed, loop, peer.open),
            peer.package,
        )
        for peer in PEERS
        if loop in peer.loops
    ]


def shared(loop: Loop) -> tuple[str, ...]:
    """The distributions that every contender on the loop uses."""
    return () if loop == "asyncio" else (loop,)


def in_order(n: int, answer: list[int]) -> bool:
    return answer == list(range(n))
