"""Every public call of a shared queue with arguments that are none, and after `close`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from penstock import Queue, SharedArray, SharedQueue
from penstock.errors import Closed, Misuse
from penstock.queues import QueueEmpty, QueueShutDown

from .conftest import named

pytestmark = pytest.mark.usefixtures("clean")

AnyQueue = SharedQueue[Any]
Call = Callable[..., Any]


def run(call: Call, *arguments: Any, **keywords: Any) -> Any:
    """Calls, and awaits what is to be awaited."""
    result = call(*arguments, **keywords)
    if not hasattr(result, "__await__"):
        return result

    async def awaited() -> Any:
        return await result

    return asyncio.run(awaited())


TIMED = {
    "put": (1,),
    "put_bytes": (b"1",),
    "put_many": ([1],),
    "get": (),
    "get_bytes": (),
    "get_many": (),
    "aput": (1,),
    "aput_bytes": (b"1",),
    "aput_many": ([1],),
    "aget": (),
    "aget_bytes": (),
    "aget_many": (),
    "lease": (),
    "lease_many": (),
    "alease": (),
    "alease_many": (),
}
"""Calls that take a timeout, and what else they need."""
UNTIMED = {
    "put_nowait": (1,),
    "get_nowait": (),
    "empty": (),
    "full": (),
    "qsize": (),
    "__len__": (),
    "statistics": (),
    "shutdown": (),
}
READ_AT_ANY_TIME = {"close", "fileno", "leases"}
"""Callable on a queue that was closed: they end nothing and wait for nothing."""
BATCHED = [name for name in TIMED if name.endswith("_many") and "put" not in name]


def test_the_tables_are_complete():
    calls = {
        name
        for name in dir(SharedQueue)
        if not name.startswith("_") and callable(getattr(SharedQueue, name)) and name != "attach"
    }
    assert calls == (TIMED.keys() | UNTIMED.keys() | READ_AT_ANY_TIME) - {"__len__"}


@pytest.fixture
def make() -> Iterator[Callable[[str], AnyQueue]]:
    """An empty queue of the kind that a call needs."""
    made: list[AnyQueue] = []

    def make(call: str) -> AnyQueue:
        queue: AnyQueue = SharedQueue(ack="lease" in call, name=named("orders"))
        made.append(queue)
        return queue

    yield make
    for queue in made:
        queue.close()
    made.clear()


def check(queue: AnyQueue) -> None:
    """Nothing came in, and it is usable."""
    assert queue.empty()
    queue.put("still usable")
    if queue.ack:
        with queue.lease() as item:
            assert item == "still usable"
    else:
        assert queue.get() == "still usable"


@pytest.mark.parametrize("name", TIMED)
def test_times(make: Callable[[str], AnyQueue], name: str):
    queue = make(name)
    call = getattr(queue, name)
    for timeout in (-1, -0.5, -math.inf, math.nan, -(2**64)):
        complaint = rf"shared queue '{queue.name}': timeout=.* is no time to wait"
        with pytest.raises(Misuse, match=complaint) as refused:
            run(call, *TIMED[name], timeout=timeout)
        assert "seconds" in (refused.value.hint or "")
    for wrong in ("1", b"1", [], object(), 1j):
        with pytest.raises(TypeError, match="must be real number"):
            run(call, *TIMED[name], timeout=wrong)
    check(queue)
    if "put" in name:
        # There is room, so nothing is waited for.
        for timeout in (math.inf, 1e300, 2**64, True, None, 0):
            run(call, *TIMED[name], timeout=timeout)
            assert queue.get() in (1, b"1")
    else:
        for timeout in (0, 0.0, -0.0, 5e-324, False):
            with pytest.raises(QueueEmpty):
                run(call, timeout=timeout)
    check(queue)


@pytest.mark.parametrize("name", BATCHED)
def test_bounds(make: Callable[[str], AnyQueue], name: str):
    queue = make(name)
    call = getattr(queue, name)
    wrong: dict[str, dict[str, int]] = {
        "max=0 takes nothing": {"max": 0},
        "max=-1 takes nothing": {"max": -1},
        "max=-18446744073709551616 takes nothing": {"max": -(2**64)},
        r"max=-\d+ takes nothing": {"max": -(2**2000)},
        "min=-1 is negative": {"min": -1},
        "min=-9223372036854775809 is negative": {"min": -(2**63) - 1},
        "min=9223372036854775808 is more than max=256": {"min": 2**63},
        "min=3 is more than max=2": {"max": 2, "min": 3},
    }
    for complaint, bounds in wrong.items():
        with pytest.raises(Misuse, match=f"shared queue '{queue.name}': {complaint}") as refused:
            run(call, **bounds)
        assert refused.value.hint
    for bound in (1.5, "1", None, math.nan, [1]):
        for which in ("max", "min"):
            with pytest.raises(TypeError, match="integer"):
                run(call, **{which: bound})
    check(queue)
    for most in (2**31, 2**63, 2**64, 2**2000, True, np.int64(3)):
        queue.put("item")
        (taken,) = run(call, max=most)
        if queue.ack:
            taken.ack()
    check(queue)


@pytest.mark.parametrize("name", ["get", "get_bytes", "lease", "put", "put_bytes", "shutdown"])
def test_flags_that_are_none(make: Callable[[str], AnyQueue], name: str):
    queue = make(name)
    arguments = TIMED.get(name, ())
    keyword = "immediate" if name == "shutdown" else "block"
    for flag in (1, 0, "yes", None):
        with pytest.raises(TypeError, match="'bool'"):
            getattr(queue, name)(*arguments, **{keyword: flag})
    check(queue)


@pytest.mark.parametrize("name", [*TIMED, *UNTIMED])
def test_after_close(make: Callable[[str], AnyQueue], name: str):
    queue = make(name)
    queue.put("inside")
    queue.close()
    arguments = (TIMED | UNTIMED)[name]
    with pytest.raises(Closed, match=rf"shared queue '{queue.name}' was closed in this") as closed:
        run(getattr(queue, name), *arguments)
    assert not isinstance(closed.value, QueueShutDown)
    assert "attach" in (closed.value.hint or "")
    with pytest.raises(Closed):
        SharedArray.empty(1, queue=queue)


@pytest.mark.parametrize("name", [name for name in TIMED if name.startswith("a")])
def test_outside_of_a_loop_and_twice(make: Callable[[str], AnyQueue], name: str):
    queue = make(name)
    awaitable = getattr(queue, name)(*TIMED[name])
    with pytest.raises(Misuse, match=f"<{name} of shared queue '{queue.name}'>: no event loop"):
        awaitable.__await__().send(None)
    queue.put(b"item")
    once = getattr(queue, name)(*TIMED[name])

    async def twice() -> None:
        await once
        with pytest.raises(RuntimeError, match="cannot reuse"):
            await once

    asyncio.run(twice())


def test_names_and_times_to_attach_that_are_none():
    for name in (1, None, b"orders", ["orders"]):
        with pytest.raises(TypeError, match="'str'"):
            SharedQueue.attach(name)  # type: ignore[arg-type]
        if name is not None:
            with pytest.raises(TypeError, match="'str'"):
                SharedQueue(name=name)  # type: ignore[arg-type]
    for timeout in (-1, math.nan, math.inf):
        with pytest.raises(Misuse, match=f"'{named('orders')}': timeout=.* is no time"):
            SharedQueue.attach(named("orders"), timeout=timeout)
        with pytest.raises(Misuse, match=f"'{named('orders')}': spin=.* is no time"):
            SharedQueue.attach(named("orders"), spin=timeout)


def test_arrays_that_fit_nowhere(make: Callable[[str], AnyQueue]):
    queue = make("put")
    for length in (2**62, 2**63, 2**64, 2**2000):
        with pytest.raises(MemoryError, match=f"SharedArray: no memory for {length} bytes: "):
            SharedArray.empty(length, "u1")
        with pytest.raises(Misuse, match=rf"'{queue.name}': an item of \d+ bytes is larger than"):
            SharedArray.empty(length, "u1", queue=queue)
    for shape in (1.5, None, math.nan, (1.5,), ("1",)):
        with pytest.raises((TypeError, AttributeError)):
            SharedArray.empty(shape)  # type: ignore[arg-type]
    for other in (5, "orders", Queue(1)):
        with pytest.raises(Misuse, match=r"SharedArray: queue=.* is no SharedQueue") as refused:
            SharedArray.empty(1, queue=other)  # type: ignore[arg-type]
        assert "through" in (refused.value.hint or "")
    check(queue)
