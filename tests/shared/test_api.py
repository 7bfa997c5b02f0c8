"""A shared queue does what a queue does: the same calls, the same outcomes, on both."""

from __future__ import annotations

import asyncio
import queue as standard
from collections.abc import Callable
from typing import Any

import pytest

from penstock import Queue, SharedQueue
from penstock.errors import Closed, Empty, Full, Misuse, PenstockError
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown

from .conftest import named

AnyQueue = Any


def make(kind: str) -> AnyQueue:
    return (
        Queue(3, name=named("q")) if kind == "local" else SharedQueue(max_items=3, name=named("q"))
    )


def outcome(call: Callable[[AnyQueue], object], queue: AnyQueue) -> object:
    try:
        return call(queue)
    except Exception as error:  # which one it is, is the outcome
        return type(error), getattr(error, "accepted", None)


SCRIPTS: dict[str, list[Callable[[AnyQueue], object]]] = {
    "in and out": [
        lambda q: q.put(1),
        lambda q: q.put("two", True, 1.0),
        lambda q: q.put_nowait({"three": 3}),
        lambda q: (q.qsize(), len(q), q.empty(), q.full(), bool(q)),
        lambda q: q.get(),
        lambda q: q.get(True, 1.0),
        lambda q: q.get_nowait(),
        lambda q: (q.qsize(), len(q), q.empty(), q.full(), bool(q)),
    ],
    "nothing there": [
        lambda q: q.get_nowait(),
        lambda q: q.get(block=False),
        lambda q: q.get(timeout=0.001),
        lambda q: q.get(timeout=0),
        lambda q: q.get_many(timeout=0.001),
        lambda q: q.get_many(min=0),
        lambda q: q.get_many(3, min=2, timeout=0.001),
    ],
    "no room": [
        lambda q: q.put_many(range(5), timeout=0.001),
        lambda q: q.put_nowait(0),
        lambda q: q.put(0, block=False),
        lambda q: q.put(0, timeout=0.001),
        lambda q: q.put(0, timeout=0),
        lambda q: q.get_many(),
        lambda q: q.put_many([]),
        lambda q: q.get_many(min=0),
    ],
    "batches": [
        lambda q: q.put_many(iter("abc")),
        lambda q: q.get_many(2),
        lambda q: q.put_many("de"),
        lambda q: q.get_many(3, min=3),
        lambda q: q.put_many(["x"]),
        lambda q: q.get_many(3, min=0),
    ],
    "shutdown": [
        lambda q: q.put_many([1, 2]),
        lambda q: q.is_shutdown,
        lambda q: q.shutdown(),
        lambda q: q.is_shutdown,
        lambda q: q.put(3),
        lambda q: q.put_nowait(3),
        lambda q: q.put_many([3]),
        lambda q: q.get(),
        lambda q: q.get_many(3, min=3),
        lambda q: q.get(),
        lambda q: q.get_nowait(),
        lambda q: q.get_many(),
        lambda q: q.shutdown(),
    ],
    "shutdown at once": [
        lambda q: q.put_many([1, 2]),
        lambda q: q.shutdown(immediate=True),
        lambda q: (q.qsize(), q.empty(), q.is_shutdown),
        lambda q: q.get_nowait(),
        lambda q: q.put(1),
    ],
    "iteration": [
        lambda q: q.put_many([1, 2, 3]),
        lambda q: next(iter(q)),
        lambda q: q.shutdown(),
        list,
        list,
    ],
    "arguments": [
        lambda q: q.get(timeout=-1),
        lambda q: q.get(timeout=float("nan")),
        lambda q: q.put(1, timeout=-0.5),
        lambda q: q.get_many(0),
        lambda q: q.get_many(-1),
        lambda q: q.get_many(2, min=3),
        lambda q: q.get_many(2, min=-1),
        lambda q: q.get_many(9, min=4),
        lambda q: q.put_many(5),
        lambda q: q.get(timeout="soon"),
        lambda q: q.qsize(),
    ],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_same_calls_have_the_same_outcomes(script: list[Callable[[AnyQueue], object]]):
    local, shared = make("local"), make("shared")
    for number, call in enumerate(script):
        assert outcome(call, shared) == outcome(call, local), f"call {number}"


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_so_have_the_awaited_ones(anyio_backend, script):
    twins = {"get", "put", "get_many", "put_many"}

    class Awaited:
        def __init__(self, queue: AnyQueue) -> None:
            self.queue = queue

        def __getattr__(self, name: str) -> Any:
            return getattr(self.queue, f"a{name}" if name in twins else name)

        def __len__(self) -> int:
            return len(self.queue)

        def __iter__(self) -> Any:
            return iter(self.queue)

    async def awaited(call: Callable[[AnyQueue], object], queue: AnyQueue) -> object:
        try:
            result = call(queue)
            return await result if hasattr(result, "__await__") else result
        except Exception as error:
            return type(error)

    local, shared = Awaited(make("local")), Awaited(make("shared"))
    for number, call in enumerate(script):
        assert await awaited(call, shared) == await awaited(call, local), f"call {number}"


def test_what_is_raised_is_what_readers_catch():
    queue: SharedQueue[int] = SharedQueue(max_items=1, name=named("orders"))
    for kind in (QueueEmpty, Empty, standard.Empty, asyncio.QueueEmpty):
        with pytest.raises(kind, match=r"shared queue 'orders-[0-9]+' is empty after 0.001 s"):
            queue.get(timeout=0.001)
    queue.put(1)
    for kind in (QueueFull, Full, standard.Full, asyncio.QueueFull):
        with pytest.raises(
            kind, match=r"shared queue 'orders-[0-9]+' is full: 1 of 1 items, \d+ of 8388608"
        ):
            queue.put_nowait(2)
    queue.shutdown()
    for kind in (QueueShutDown, Closed, PenstockError):
        with pytest.raises(kind, match=r"shared queue 'orders-[0-9]+' is shut down"):
            queue.put(2)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"max_bytes": 0}, "max_bytes=0 makes no queue"),
        ({"max_bytes": -1}, "max_bytes=-1 makes no queue"),
        ({"max_bytes": -(2**64)}, "max_bytes=-18446744073709551616 makes no queue"),
        ({"max_bytes": 2**37 + 1}, "max_bytes=137438953473 is more than a queue can have"),
        ({"max_bytes": 2**64}, "max_bytes=18446744073709551616 is more than a queue can have"),
        ({"max_bytes": 2**2000}, r"max_bytes=\d+ is more than a queue can have"),
        ({"max_bytes": -(2**2000)}, r"max_bytes=-\d+ makes no queue"),
        ({"max_items": -(2**64)}, "max_items=-18446744073709551616 makes no queue"),
        ({"arena_bytes": 2**63}, "arena_bytes=9223372036854775808 is more than a queue can have"),
        ({"lease": float("inf")}, "lease=inf is no time"),
        ({"lease": 1e300}, "lease=1e300 is no time"),
        ({"max_items": 0}, "max_items=0 makes no queue"),
        ({"arena_bytes": 0}, "arena_bytes=0 makes no queue"),
        ({"lease": -1.0}, "lease=-1.0 is no time"),
        ({"lease": float("nan")}, "lease=NaN is no time"),
        ({"lease": 0.0, "ack": True}, "lease=0 leaves no time"),
        ({"spin": -0.1}, "spin=-0.1 is no time"),
    ],
)
def test_settings_that_make_no_queue(settings: dict[str, Any], complaint: str):
    with pytest.raises(Misuse, match=complaint) as refused:
        SharedQueue(name=named("orders"), **settings)
    assert f"shared queue '{named('orders')}'" in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("max_items", [2**31, 2**32, 2**63, 2**64, 2**2000])
def test_more_items_than_ever_fit_are_no_bound(max_items: int):
    queue: SharedQueue[int] = SharedQueue(max_items=max_items)
    assert queue.max_items is None
    queue.put(1)
    assert queue.get() == 1


def test_what_a_queue_says_of_itself():
    queue: SharedQueue[int] = SharedQueue(
        1 << 16, 5, spin=0.001, arena_bytes=1 << 20, name=named("orders"), ack=True, lease=2.0
    )
    assert (queue.name, queue.max_bytes, queue.max_items) == (named("orders"), 1 << 16, 5)
    assert (queue.spin, queue.arena_bytes, queue.ack) == (0.001, 1 << 20, True)
    queue.put(1)
    head = f"<SharedQueue '{queue.name}', max_bytes 65536"
    assert repr(queue) == f"{head}, 1 items>"
    queue.shutdown()
    assert repr(queue) == f"{head}, 1 items, shut down>"
    queue.close()
    assert repr(queue) == f"{head}, closed>"
    assert repr(SharedQueue(1 << 16)) == "<SharedQueue, max_bytes 65536, 0 items>"


def test_figures():
    queue: SharedQueue[int] = SharedQueue()
    queue.put_many([1, 2, 3])
    queue.get()
    figures = queue.statistics()
    assert (figures.items, figures.put, figures.got) == (2, 3, 1)
    assert figures.participants == 1
    assert 0 < figures.bytes < 1000
    assert (figures.waiting_getters, figures.waiting_putters, figures.leased) == (0, 0, 0)


class Subclass(SharedQueue[int]):
    """May have more methods, and keeps those there are."""

    def put_twice(self, item: int) -> None:
        self.put_many([item, item])


def test_a_subclass():
    queue = Subclass(name="mine")
    queue.put_twice(7)
    assert queue.get_many() == [7, 7]


def test_a_call_with_keywords_does_the_same_as_one_without():
    queue: SharedQueue[object] = SharedQueue()
    queue.put(item={"a": 1})
    queue.put({"a": 2})
    queue.put_nowait(item=[3])
    assert (queue.get(block=True), queue.get(), queue.get(timeout=1.0)) == ({"a": 1}, {"a": 2}, [3])
    for call in (queue.put, queue.put_nowait):
        with pytest.raises(TypeError):
            call()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        queue.get(True, 1.0, 2)  # type: ignore[call-arg]
