"""A bus that no loop uses: plain functions, called in the thread that emits."""

from __future__ import annotations

import threading

import pytest

from penstock import EventBus
from penstock.errors import Misuse
from penstock.events import History

from .recorder import hint_of


def test_handlers_are_called_here_in_order():
    bus = EventBus("plain")
    seen = []
    bus.on("a.*", lambda data, name: seen.append((data, name, threading.get_ident())))
    bus.on("a.b", seen.append, priority=1)
    outcomes = bus.sync.emit("a.b", 1)
    assert seen == [1, (1, "a.b", threading.get_ident())]
    assert outcomes.is_ok
    assert bus.emit_nowait("a.b", 2).outcomes().is_ok
    assert seen[2] == 2
    assert bus.statistics().emitted == 2


def test_a_failing_handler_does_not_stop_the_others():
    bus = EventBus("plain")
    seen = []

    def fails(_data):
        raise ValueError("no")

    bus.on("x", fails)
    bus.on("x", seen.append)
    outcomes = bus.sync.emit("x", 1)
    assert seen == [1]
    assert [type(error) for error in outcomes.errors] == [ValueError]
    assert outcomes[0].seconds >= 0


def test_ctrl_c_comes_through():
    bus = EventBus("plain")

    def interrupted(_data):
        raise KeyboardInterrupt

    bus.on("x", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bus.sync.emit("x")


def test_what_needs_a_loop_is_named():
    bus = EventBus("plain")

    async def later(_data):
        pytest.fail("it was not to be called")

    heard = []
    bus.on("x", heard.append)
    bus.on("x", later)
    for emit in (bus.sync.emit, bus.emit_nowait):
        with pytest.raises(Misuse, match="later need a loop") as caught:
            emit("x")
        assert "async with" in hint_of(caught.value)
    assert heard == []


def test_a_function_that_returns_something_to_await_fails_alone():
    bus = EventBus("plain")

    async def later():
        pytest.fail("it was not to be run")

    bus.on("x", lambda _data: later())
    bus.on("x", lambda _data: "fine")
    outcomes = bus.sync.emit("x")
    assert isinstance(outcomes[0].error, Misuse)
    assert outcomes[1].result == "fine"


def test_once_weak_history_and_objects():
    history = History(max_bytes=10_000)
    bus = EventBus("plain", history=history)
    seen = []

    class Hears:
        def method(self, data):
            seen.append(("method", data))

    bus.once("x", lambda data: seen.append(("once", data)))
    hears = Hears()
    bus.on("x", hears.method, weak=True)
    bus.sync.emit("x", 1)
    del hears
    bus.sync.emit("x", 2)
    bus.on(int, lambda data: seen.append(("int", data)))
    bus.sync.emit(5)
    assert seen == [("once", 1), ("method", 1), ("int", 5)]
    assert [past.data for past in history] == [1, 2, 5]


def test_an_emit_within_a_handler_and_a_circle():
    bus = EventBus("circle")
    seen = []

    def outer(data):
        seen.append("outer begins")
        bus.sync.emit("inner", data)
        seen.append("outer ends")

    bus.on("outer", outer)
    bus.on("inner", lambda _data: seen.append("inner"))
    assert bus.sync.emit("outer").is_ok
    assert seen == ["outer begins", "inner", "outer ends"]

    deepest = 0

    def again(data):
        nonlocal deepest
        deepest = data
        bus.sync.emit("again", data + 1).raise_if_failed()

    bus.on("again", again)
    error = bus.sync.emit("again", 1)[0].error
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, Misuse)
    assert "100 emissions deep" in str(error)
    assert "again → again" in str(error)
    assert deepest == 100


def test_several_threads_at_once():
    bus = EventBus("threads")
    counts = []
    bus.on("x", counts.append)
    threads = [
        threading.Thread(target=lambda: [bus.sync.emit("x", number) for number in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 2000
    assert bus.statistics().handled == 2000
