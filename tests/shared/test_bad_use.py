"""What cannot be put, and what cannot be rebuilt: an error each, and the queue goes on."""

from __future__ import annotations

import array
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from penstock import SharedQueue
from penstock.errors import Closed, Lost, Misuse
from penstock.queues import QueueEmpty, QueueShutDown
from penstock.shared import Unreadable

from . import children
from .conftest import PATIENCE, named, until

pytestmark = pytest.mark.usefixtures("clean")


def check(queue: SharedQueue[Any]) -> None:
    """It is empty, and usable."""
    assert queue.get_many(min=0) == []
    queue.put({"still": "usable"})
    assert queue.get() == {"still": "usable"}


@pytest.mark.parametrize(
    "item", [lambda: None, threading.Lock(), (n for n in ()), [1, {"a": sys}]], ids=repr
)
def test_what_cannot_be_pickled_raises_what_pickle_says(item: object):
    queue: SharedQueue[Any] = SharedQueue()
    with pytest.raises(Exception) as expected:  # whatever it is
        pickle.dumps(item, protocol=5)
    for call in (queue.put, queue.put_nowait, queue.aput):
        with pytest.raises(expected.type):
            call(item)
    with pytest.raises(expected.type):
        queue.put_many(["before", item, "after"])
    check(queue)


class Interrupting:
    def __reduce__(self) -> tuple[object, ...]:
        raise KeyboardInterrupt


def test_an_interrupt_while_an_item_is_pickled():
    queue: SharedQueue[Any] = SharedQueue()
    with pytest.raises(KeyboardInterrupt):
        queue.put(Interrupting())
    check(queue)


class Reentrant:
    """Uses the queue while it is pickled, and while it is rebuilt."""

    queue: SharedQueue[Any]

    def __reduce__(self) -> tuple[object, ...]:
        self.queue.put("from within")
        return _again, ()


def _again() -> object:
    return [Reentrant.queue.get(), Reentrant.queue.get_many(min=0)]


def test_an_item_may_use_the_queue_itself():
    queue: SharedQueue[Any] = SharedQueue()
    Reentrant.queue = queue
    queue.put("first")
    queue.put(Reentrant())
    assert queue.get() == "first"
    assert queue.get() == "from within"
    queue.put_many(["a", "b"])
    assert queue.get() == ["a", ["b"]]
    del Reentrant.queue


@pytest.mark.parametrize("size", [(1 << 16) + 1, 1 << 20])
def test_an_item_larger_than_the_queue(size: int):
    queue: SharedQueue[Any] = SharedQueue(1 << 16, name=named("small"))
    items = [b"x" * size, "x" * size, memoryview(b"x" * size), ["x" * size], bytearray(size)]
    for item in items:
        with pytest.raises(
            Misuse, match=r"shared queue 'small-[0-9]+': an item of \d+ bytes is larger"
        ):
            queue.put(item)
    check(queue)


def test_an_item_as_large_as_the_queue_goes_in():
    queue: SharedQueue[Any] = SharedQueue(1 << 20)
    for size in (1000, 16 << 10, (16 << 10) + 1, 1 << 19, 1 << 20):
        queue.put(b"x" * size)
        assert queue.get() == b"x" * size


@pytest.mark.parametrize(
    "view",
    [
        memoryview(b""),
        memoryview(b"abc"),
        memoryview(bytearray(100_000)),
        memoryview(array.array("d", [1.5, 2.5])),
        memoryview(array.array("i", range(30_000))).cast("B").cast("i", (100, 300)),
    ],
    ids=["empty", "short", "long", "doubles", "two dimensions"],
)
def test_views(view: memoryview):
    queue: SharedQueue[Any] = SharedQueue()
    queue.put(view)
    again = queue.get()
    assert type(again) is memoryview
    assert (again.format, again.shape, again.tolist()) == (view.format, view.shape, view.tolist())


def test_views_that_lie_in_pieces():
    queue: SharedQueue[Any] = SharedQueue()
    view = memoryview(b"abcdef")[::2]
    with pytest.raises(Misuse, match="lies in pieces") as refused:
        queue.put(view)
    assert "tobytes" in (refused.value.hint or "")
    with pytest.raises(TypeError, match="do not lie in one piece"):
        queue.put_bytes(view)
    check(queue)


def test_bytes_as_others_see_them():
    queue: SharedQueue[Any] = SharedQueue()
    for record in (
        b"",
        b"abc",
        bytearray(b"abc"),
        memoryview(b"x" * 40_000),
        array.array("B", b"q"),
    ):
        queue.put_bytes(record)
        assert queue.get_bytes() == bytes(record)
        queue.put_bytes(record)
        got = queue.get()
        assert (type(got), got) == (bytes, bytes(record))
    queue.put(b"bytes are bytes")
    assert queue.get_bytes() == b"bytes are bytes"
    queue.put(memoryview(b"and so is a view"))
    assert queue.get_bytes() == b"and so is a view"
    for wrong in ("text", 5, None, ["a"]):
        with pytest.raises(TypeError):
            queue.put_bytes(wrong)  # type: ignore[arg-type]
    check(queue)


@pytest.mark.parametrize("item", ["text", 5, {"a": 1}, [[1]], "x" * 40_000])
def test_an_object_where_bytes_were_expected(item: object):
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    queue.put_many([item, b"next"])
    with pytest.raises(
        Unreadable, match=r"'orders-[0-9]+': an item was put as an object"
    ) as failure:
        queue.get_bytes()
    assert "get()" in (failure.value.hint or "")
    assert len(failure.value.record) > 0
    assert queue.get_bytes() == b"next"
    check(queue)


def test_an_item_that_cannot_be_rebuilt_says_so_and_the_rest_is_there():
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    queue.put_many(["first", children.Unpicklable(), "last"])
    assert queue.get() == "first"
    with pytest.raises(Unreadable) as failure:
        queue.get()
    error = failure.value
    assert isinstance(error, Lost)
    assert f"shared queue '{queue.name}': an item of" in str(error)
    assert "cannot be rebuilt here: ZeroDivisionError: " in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.record == pickle.dumps(children.Unpicklable(), protocol=5)
    assert error.lease is None
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.record, again.hint) == (str(error), error.record, error.hint)
    assert queue.get() == "last"
    check(queue)


def test_items_that_cannot_be_rebuilt_keep_nothing_of_their_batch_back():
    queue: SharedQueue[Any] = SharedQueue()
    broken = children.Unpicklable()
    queue.put_many([1, broken, 2, broken, 3])
    assert queue.get_many() == [1, 2, 3]
    queue.put(4)
    for _ in range(2):
        with pytest.raises(Unreadable):
            queue.get()
    assert queue.get() == 4
    queue.put_many([broken, broken])
    for _ in range(2):
        with pytest.raises(Unreadable):
            queue.get_many(min=0)
    check(queue)


async def test_so_it_is_in_loops(anyio_backend):
    queue: SharedQueue[Any] = SharedQueue()
    broken = children.Unpicklable()
    await queue.aput_many([1, broken, 2])
    assert await queue.aget() == 1
    with pytest.raises(Unreadable):
        await queue.aget()
    assert await queue.aget_many() == [2]


def test_an_error_that_nobody_asked_for_is_not_kept_silent(capsys: pytest.CaptureFixture[str]):
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    queue.put_many([1, children.Unpicklable()])
    assert queue.get_many() == [1]
    seen: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        del queue
    finally:
        sys.unraisablehook = hook
    assert [type(each.exc_value) for each in seen] == [Unreadable]
    seen.clear()


def test_after_close():
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    queue.put(1)
    iterator = iter(queue)
    with queue:
        pass
    assert queue.is_closed
    calls = (
        queue.get,
        queue.get_nowait,
        queue.get_many,
        queue.get_bytes,
        queue.statistics,
        queue.full,
        queue.shutdown,
        lambda: queue.put(2),
        lambda: queue.put_nowait(2),
        lambda: queue.put_many([2]),
        lambda: queue.put_bytes(b"2"),
    )
    for number, call in enumerate(calls):
        with pytest.raises(
            Closed, match=r"shared queue 'orders-[0-9]+' was closed in this process"
        ) as closed:
            call()
        assert not isinstance(closed.value, QueueShutDown), number
        assert closed.value.hint
    assert list(iterator) == []
    queue.close()


def test_a_close_wakes_those_who_wait(thread, blocked):
    queue: SharedQueue[int] = SharedQueue(max_items=1)
    getters = [thread(queue.get) for _ in range(2)]
    blocked(queue, getters=1)
    queue.close()
    for getter in getters:
        with pytest.raises(Closed):
            getter.outcome()


def test_a_shutdown_wakes_those_who_wait(thread, blocked):
    queue: SharedQueue[int] = SharedQueue(max_items=1)
    getters = [thread(queue.get) for _ in range(2)]
    blocked(queue, getters=1)
    queue.shutdown()
    for getter in getters:
        with pytest.raises(QueueShutDown):
            getter.outcome()
    full: SharedQueue[int] = SharedQueue(max_items=1)
    full.put(1)
    putter = thread(full.put, 2)
    blocked(full, putters=1)
    full.shutdown()
    with pytest.raises(QueueShutDown):
        putter.outcome()
    assert list(full) == [1]


@pytest.mark.parametrize("min_", [2, 5])
def test_getters_of_many_are_woken_for_enough_and_spin_for_nothing(thread, blocked, min_: int):
    queue: SharedQueue[int] = SharedQueue()
    getters = [thread(queue.get_many, 8, min_) for _ in range(2)]
    blocked(queue, getters=1)
    queue.put(0)
    # Time that two who wake each other, or one that does not sleep, would use: turns of two
    # other threads.
    questions, answers = SharedQueue[int](), SharedQueue[int]()
    echo = thread(children.echo, questions, answers)
    woken, turns = queue.statistics().system_wakes, _turns(getters)
    for number in range(ROUNDS):
        questions.put(number)
        assert answers.get(timeout=PATIENCE) == number
    assert queue.statistics().system_wakes - woken < ROUNDS / 10
    assert _turns(getters) - turns < ROUNDS / 10
    questions.shutdown()
    echo.outcome()
    queue.put_many(range(1, 16))
    taken = [item for getter in getters for item in getter.outcome()]
    assert sorted(taken + queue.get_many(min=0)) == list(range(16))


ROUNDS = 1000


def _turns(threads: list[threading.Thread]) -> int:
    """How often these have had the processor."""
    places = [Path(f"/proc/self/task/{thread.native_id}/schedstat") for thread in threads]
    return sum(int(place.read_text().split()[2]) for place in places)


@pytest.mark.parametrize("min_", [2, 3])
def test_competing_getters_of_many_may_get_fewer_but_never_none(thread, min_: int):
    queue: SharedQueue[int] = SharedQueue()

    def take() -> list[list[int]]:
        batches = []
        with contextlib.suppress(QueueShutDown):
            while True:
                batches.append(queue.get_many(4, min=min_))
        return batches

    getters = [thread(take) for _ in range(4)]
    for number in range(3000):
        queue.put(number)
    queue.shutdown()
    batches = [batch for getter in getters for batch in getter.outcome()]
    assert {len(batch) for batch in batches} <= {1, 2, 3, 4}
    assert sorted(number for batch in batches for number in batch) == list(range(3000))


def test_one_getter_of_many_alone_gets_enough(thread):
    queue: SharedQueue[int] = SharedQueue()
    getter = thread(lambda: [queue.get_many(5, min=3) for _ in range(400)])
    for number in range(2000):
        queue.put(number)
    batches = getter.outcome()
    assert {len(batch) for batch in batches} <= {3, 4, 5}


@pytest.mark.parametrize(
    "call",
    [
        "empty.get()",
        "empty.get(timeout=1000)",
        "empty.get_many(4, min=3)",
        "empty.get_bytes()",
        "next(iter(empty))",
        "full.put(1)",
        "full.put_many([1, 2])",
        "jobs.lease()",
    ],
)
def test_ctrl_c_ends_a_blocking_wait_at_once(call: str):
    program = f"""
        import time
        from penstock import SharedQueue
        empty, full, jobs = SharedQueue(), SharedQueue(max_items=1), SharedQueue(ack=True)
        full.put(0)
        for _ in range({TRIES}):
            print("waiting", flush=True)
            try:
                {call}
            except KeyboardInterrupt:
                print(time.monotonic(), flush=True)
        empty.put(1)
        print(empty.get_many(), full.get_many())
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    took = []
    try:
        assert process.stdout is not None
        for _ in range(TRIES):
            assert process.stdout.readline() == "waiting\n"
            until(lambda: "futex" in _wait_channel(process.pid))
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            took.append(float(process.stdout.readline()) - sent)
        out = process.stdout.readline()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")
    # One of several, as a machine may be busy: at the safety timeout none would be so soon.
    assert min(took) < 0.5, f"it came with the safety timeout only: {took}"
    assert out == "[1] [0]\n"


TRIES = 3


def _wait_channel(pid: int) -> str:
    with open(f"/proc/{pid}/wchan") as file:
        return file.read()


def test_a_signal_handler_runs_while_its_thread_waits():
    queue: SharedQueue[int] = SharedQueue()
    hits: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: hits.append(1))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(QueueEmpty):
            queue.get(timeout=0.001)
        assert hits == [1]
    finally:
        signal.signal(signal.SIGUSR1, before)
