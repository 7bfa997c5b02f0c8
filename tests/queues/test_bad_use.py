"""What cannot work is refused: which queue, which number, what instead; and nothing has changed.

What a forked child is told is in `test_process.py`, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import warnings

import anyio
import pytest

from penstock import LifoQueue, PriorityQueue, Queue, select
from penstock.errors import Closed, Misuse
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown, janus, select_blocking
from tests.loops import LOOPS, NATIVE

KINDS = [Queue, LifoQueue, PriorityQueue]
ARGUMENTS = {
    "put": (1,),
    "put_nowait": (1,),
    "put_many": ([1],),
    "aput": (1,),
    "aput_many": ([1],),
}


def methods():
    for name in dir(Queue):
        method = getattr(Queue, name)
        if not name.startswith("_") and callable(method):
            yield name, inspect.signature(method).parameters


WITH_TIMEOUT = [name for name, parameters in methods() if "timeout" in parameters]
WITH_BATCH = [name for name, parameters in methods() if {"min", "max"} <= parameters.keys()]


def test_the_signatures_are_seen():
    assert {"get", "aget", "peek", "areserve", "ajoin", "put_many"} <= set(WITH_TIMEOUT)
    assert set(WITH_BATCH) == {"get_many", "aget_many"}


def call(queue, name, *arguments, **keywords):
    return getattr(queue, name)(*ARGUMENTS.get(name, ()), *arguments, **keywords)


@pytest.fixture(params=[*KINDS, "fair"])
def orders(request):
    """A queue of two with one item in it, which has to be as it was after the test."""
    kind = Queue if request.param == "fair" else request.param
    queue = kind(2, name="orders", fair=request.param == "fair")
    queue.put(7)
    before = queue.statistics()
    yield queue
    assert queue.statistics() == before
    assert not queue.is_shutdown
    assert queue.get_many() == [7]


@pytest.fixture(params=NATIVE)
def new_loop(request):
    _, options = LOOPS[request.param]
    return options.get("loop_factory", asyncio.new_event_loop)


def refused(call, complaint, instead):
    with pytest.raises(Misuse) as misuse:
        call()
    assert re.fullmatch(complaint, str(misuse.value)), str(misuse.value)
    assert isinstance(misuse.value, ValueError)
    assert instead in misuse.value.hint
    assert misuse.value.__notes__ == [f"hint: {misuse.value.hint}"], "a traceback shows it"


# sizes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("module", [None, janus])
@pytest.mark.parametrize("maxsize", [-1, -(2**40), -(2**70)])
def test_a_negative_size(kind, module, maxsize):
    kind = kind if module is None else getattr(module, kind.__name__)
    instead = "0 for a queue without bound"
    refused(
        lambda: kind(maxsize, name="orders"),
        rf"queue 'orders': maxsize={maxsize} is negative",
        instead,
    )
    refused(lambda: kind(maxsize, fair=True), rf"queue: maxsize={maxsize} is negative", instead)


@pytest.mark.parametrize("side", ["wrapped", "sync_q", "async_q"])
def test_a_negative_size_later(orders, side):
    target = orders if side == "wrapped" else getattr(orders, side)
    refused(
        lambda: setattr(target, "maxsize", -3),
        r"queue 'orders': maxsize=-3 is negative",
        "0 for a queue without bound",
    )


@pytest.mark.parametrize("size", [2**63, 2**70])
def test_a_size_beyond_memory(orders, size):
    for attempt in (
        lambda: type(orders)(size, name="orders"),
        lambda: setattr(orders, "maxsize", size),
    ):
        complaint = rf"queue 'orders': maxsize={size} is more than any memory holds"
        refused(attempt, complaint, "0 for a queue without bound")


@pytest.mark.parametrize("size", [1.5, "3", None])
def test_a_size_that_is_none(orders, size):
    for attempt in (lambda: type(orders)(size), lambda: setattr(orders, "maxsize", size)):
        with pytest.raises(TypeError):
            attempt()


# times and numbers


@pytest.mark.parametrize("timeout", [-1, -1e-9, float("-inf"), float("nan")])
@pytest.mark.parametrize("name", WITH_TIMEOUT)
def test_a_timeout_that_is_no_time(orders, name, timeout):
    refused(
        lambda: call(orders, name, timeout=timeout),
        r"queue 'orders': timeout=(-1|-0\.000000001|-inf|NaN) is no time to wait",
        "None to wait without limit",
    )


@pytest.mark.parametrize("function", [select, select_blocking])
def test_a_select_that_cannot_work(orders, function):
    other = Queue(1, name="other")
    for nothing in (function, lambda: function(timeout=1)):
        refused(nothing, r"select\(\) got no queue", "give the queues")
    refused(
        lambda: function(other, orders, orders),
        r"queue 'orders': select\(\) got it twice",
        "give each queue once",
    )
    refused(
        lambda: function(orders, timeout=-1),
        r"queue 'orders': timeout=-1 is no time to wait",
        "None to wait without limit",
    )
    for stranger in (asyncio.Queue(), orders.sync_q, "orders"):
        with pytest.raises(TypeError):
            function(orders, stranger)
    assert other.statistics().waiting_getters == 0


@pytest.mark.parametrize("name", WITH_BATCH)
@pytest.mark.parametrize(
    ("max", "min", "complaint", "instead"),
    [
        (0, 1, "max=0 takes nothing", "at least 1"),
        (-3, 1, "max=-3 takes nothing", "at least 1"),
        (2, -1, "min=-1 is negative", "at least 0"),
        (2, 3, "min=3 is more than max=2", "raise max"),
        (8, 3, "min=3 can never be met, as no more than 2 items fit", "raise maxsize"),
    ],
)
def test_a_batch_that_can_never_be(orders, name, max, min, complaint, instead):
    refused(lambda: call(orders, name, max, min), f"queue 'orders': {complaint}", instead)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["wrapped", "sync_q", "async_q"])
def test_more_done_than_was_put(kind, side):
    queue = kind(2, name="orders")
    done = queue.task_done if side == "wrapped" else getattr(queue, side).task_done
    complaint = r"queue 'orders': task_done\(\) called too many times"
    refused(done, complaint, "once for each item")
    queue.put(7)
    done()
    refused(done, complaint, "once for each item")
    assert queue.statistics().unfinished == 0
    queue.put(8)
    assert queue.statistics().unfinished == 1, "the refused reports were counted"


@pytest.mark.parametrize("ending", ["put", "release", "__exit__"])
def test_a_place_used_twice(ending):
    queue = Queue(2, name="orders")
    place = queue.reserve()
    getattr(place, ending)(*["item"] * (ending == "put"))
    before = queue.statistics()
    refused(
        lambda: place.put("more"),
        r"queue 'orders': this reservation was used or given back",
        "a place for each item",
    )
    assert queue.statistics() == before


# after the end


def test_a_queue_that_was_shut_down(kind_of_end):
    queue, left = kind_of_end
    before = queue.statistics()
    for name in ("put", "put_nowait", "put_many", "reserve"):
        ended(lambda name=name: call(queue, name))
    assert queue.statistics() == before
    if left:
        assert queue.get_many() == left
    for name in ("get", "get_nowait", "get_many", "peek", "peek_nowait"):
        ended(getattr(queue, name))
        if hasattr(queue.sync_q, name):
            ended(getattr(queue.sync_q, name))
    with pytest.raises(QueueShutDown, match=r"^all are shut down: queue 'orders'$"):
        select_blocking(queue)
    assert list(queue) == []
    queue.shutdown()
    queue.shutdown(immediate=True)


async def test_a_queue_that_was_shut_down_awaited(anyio_backend, kind_of_end):
    queue, left = kind_of_end
    before = queue.statistics()
    for operation in (queue.aput(1), queue.aput_many([1]), queue.areserve(), queue.async_q.put(1)):
        with pytest.raises(QueueShutDown, match=r"^queue 'orders' is shut down$"):
            await operation
    assert queue.statistics() == before
    assert [item async for item in queue] == left
    for operation in (queue.aget(), queue.aget_many(), queue.apeek(), queue.async_q.get()):
        with pytest.raises(QueueShutDown, match=r"^queue 'orders' is shut down$"):
            await operation
    with pytest.raises(QueueShutDown, match=r"^all are shut down: queue 'orders'$"):
        await select(queue)


@pytest.fixture(params=["drained later", "drained before", "immediately"])
def kind_of_end(request):
    queue = Queue(2, name="orders")
    queue.put(7)
    if request.param == "drained before":
        queue.get()
    queue.shutdown(immediate=request.param == "immediately")
    return queue, [7] * (request.param == "drained later")


def ended(call):
    with pytest.raises(QueueShutDown, match=r"^queue 'orders' is shut down$") as shut_down:
        call()
    assert isinstance(shut_down.value, Closed)
    assert not isinstance(shut_down.value, (QueueEmpty, QueueFull))


def test_a_place_kept_beyond_the_end():
    queue = Queue(2, name="orders")
    place = queue.reserve()
    queue.shutdown()
    with pytest.raises(QueueShutDown, match=r"^queue 'orders' is shut down$"):
        place.put(1)
    assert place.is_held
    place.release()
    assert (queue.statistics().reserved, queue.qsize()) == (0, 0)


async def test_waiting_for_a_close_that_did_not_come():
    queue = janus.Queue(2, name="orders")
    with pytest.raises(Misuse, match=r"'orders', maxsize 2, 0 items> is not closed") as misuse:
        await queue.wait_closed()
    assert "call close()" in misuse.value.hint


# where no loop runs, and where it ran


def awaited(queue, full):
    """One of every operation, none of which can be done at once."""
    yield "aget", queue.aget()
    yield "aget_many", queue.aget_many()
    yield "apeek", queue.apeek()
    yield "__anext__", queue.__aiter__().__anext__()
    yield "aget", queue.async_q.get()
    yield "aput", full.aput(1)
    yield "aput_many", full.aput_many([1])
    yield "areserve", full.areserve()
    yield "ajoin", full.ajoin()
    yield "select", select(queue, timeout=1)


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_a_loop(kind, fair):
    queue, full = kind(2, name="orders", fair=fair), kind(1, name="orders", fair=fair)
    full.put(0)
    before = queue.statistics(), full.statistics()
    for verb, operation in awaited(queue, full):
        refused(
            lambda operation=operation: operation.send(None),
            rf"<{verb} of queue 'orders'>: no event loop runs here",
            "threads use the blocking twin",
        )
        with pytest.raises(RuntimeError, match="already awaited"):
            operation.send(None)
    assert (queue.statistics(), full.statistics()) == before


def test_on_a_loop_that_was_closed(new_loop):
    queue = Queue(2, name="orders")
    loop = new_loop()
    loop.run_until_complete(asyncio.wait_for(queue.aput(1), 10))
    loop.close()
    operation = queue.aget()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_until_complete(operation)
    assert queue.qsize() == 1
    # The operation has not begun, and a queue belongs to no loop.
    again = new_loop()
    assert again.run_until_complete(operation) == 1
    again.close()


async def test_awaited_again(anyio_backend):
    queue = Queue(2, name="orders")
    queue.put_many([1, 2])
    get = queue.aget()
    assert await get == 1
    with pytest.raises(RuntimeError, match="already awaited"):
        await get
    assert queue.get_many() == [2]
    put = queue.aput(3)
    await put
    with pytest.raises(RuntimeError, match="already awaited"):
        await put
    assert queue.get_many() == [3]


def test_never_awaited():
    queue, full = Queue(2, name="orders"), Queue(1, name="orders")
    full.put(0)
    before = queue.statistics(), full.statistics()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        verbs = [verb for verb, _ in awaited(queue, full)]
    messages = [str(warning.message) for warning in told]
    assert messages == [f"{verb} of queue 'orders' was never awaited" for verb in verbs]
    assert {warning.category for warning in told} == {RuntimeWarning}
    assert (queue.statistics(), full.statistics()) == before


async def test_awaited_by_two_tasks_at_once(anyio_backend, parked):
    queue = Queue(2, name="orders")
    operation = queue.aget()
    got = []

    async def first() -> None:
        got.append(await operation)

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        await parked(queue, getters=1)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await operation
        queue.put(1)
    assert got == [1], "the first one was disturbed"


def test_the_end_says_what_instead():
    queue = Queue(1, name="orders")
    queue.shutdown()
    for call in (queue.get, lambda: queue.put(1), lambda: select_blocking(queue)):
        with pytest.raises(QueueShutDown) as shut_down:
            call()
        assert shut_down.value.hint


def test_a_stranger_in_a_select_is_named():
    with pytest.raises(TypeError, match=r"penstock\.Queue"):
        select(Queue(1), asyncio.Queue())
