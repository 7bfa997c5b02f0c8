"""`expect`, `request`, history and replay."""

from __future__ import annotations

import sys

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock import EventBus
from penstock.errors import Expired, Lost
from penstock.events import History

from .recorder import until


async def expecting(bus, group, *arguments, **options):
    """A task that expects, and has begun to."""
    answers = []

    async def expect():
        try:
            answers.append(await bus.expect(*arguments, **options))
        except Exception as error:
            answers.append(error)

    before = len(bus._expected)
    group.start_soon(expect)
    await until(lambda: len(bus._expected) > before)
    return answers


async def test_the_next_event_of_a_kind():
    bus = EventBus("expect")
    async with anyio.create_task_group() as group:
        named = await expecting(bus, group, "user.*")
        typed = await expecting(bus, group, int, where=lambda number: number > 5)
        outcomes = await bus.emit("order.created", 1)
        await bus.emit("user.created", 2)
        await bus.emit("user.created", 3)
        await bus.emit(4)
        await bus.emit(6)
        # Those who expect are no handlers.
        assert list(outcomes) == []
    assert named == [2]
    assert typed == [6]
    assert not bus._expected


async def test_it_returns_whatever_the_handlers_do():
    bus = EventBus("expect")

    async def fails(_data):
        raise ValueError

    bus.on("x", fails)
    async with anyio.create_task_group() as group:
        answers = await expecting(bus, group, "x")
        await bus.emit("x", 1)
    assert answers == [1]


async def test_nothing_comes_in_time():
    bus = EventBus("expect")
    with pytest.raises(Expired, match=r"no user\.created within 0\.01 s"):
        await bus.expect("user.created", timeout=0.01)
    with pytest.raises(TimeoutError, match="no int within 0 s"):
        await bus.expect(int, timeout=0)
    assert not bus._expected


async def test_a_predicate_that_fails_fails_for_who_expects():
    bus = EventBus("expect")
    heard = []
    bus.on("x", heard.append, inline=True)
    async with anyio.create_task_group() as group:
        answers = await expecting(bus, group, "x", where=lambda data: 1 / data)
        outcomes = await bus.emit("x", 0)
    assert isinstance(answers[0], ZeroDivisionError)
    assert outcomes.is_ok
    assert heard == [0]


async def test_a_cancelled_expectation_is_forgotten():
    bus = EventBus("expect")
    with anyio.move_on_after(0.01):
        await bus.expect("x")
    assert not bus._expected
    await bus.emit("x")


async def test_what_a_thread_emits_is_expected_as_well():
    async with EventBus("expect") as bus, anyio.create_task_group() as group:
        answers = await expecting(bus, group, "x")
        await anyio.to_thread.run_sync(bus.sync.emit, "x", 7)
        nowait = await expecting(bus, group, "y")
        bus.emit_nowait("y", 8)
    assert answers == [7]
    assert nowait == [8]


async def test_request_and_reply():
    bus = EventBus("request")

    async def price(data):
        await anyio.lowlevel.checkpoint()
        return data * 2

    async def fails(_data):
        raise KeyError("no such thing")

    class Question(str):
        __slots__ = ()

    bus.on("price.of", price)
    bus.on("fails", fails)
    bus.on(float, price)
    assert await bus.request("price.of", 4) == 8
    assert await bus.request("price.of", 4, timeout=30) == 8
    assert await bus.request(1.5) == 3.0
    with pytest.raises(KeyError, match="no such thing"):
        await bus.request("fails")


async def test_a_request_that_takes_too_long():
    bus = EventBus("request")
    cancelled = []

    async def slow(_data):
        try:
            await anyio.sleep(30)
        except BaseException:
            cancelled.append(1)
            raise

    bus.on("x", slow)
    with pytest.raises(Expired, match=r"no answer to x within 0\.01 s"):
        await bus.request("x", timeout=0.01)
    assert cancelled == [1]


async def test_a_request_whose_handler_is_cancelled(anyio_backend_name: str):
    if anyio_backend_name == "trio":
        return  # nobody cancels a task of trio from elsewhere
    bus = EventBus("request")

    async def handler(_data):
        sys.modules["asyncio"].current_task().cancel()
        await anyio.sleep(1)

    bus.on("x", handler)
    with pytest.raises(Lost, match="was cancelled"):
        await bus.request("x")


async def test_history_is_bounded_by_bytes_and_replayed_in_order():
    history = History(max_bytes=30, size_of=lambda data: 10)
    bus = EventBus("history", history=history)
    for number in range(5):
        await bus.emit("a.b" if number % 2 else "a.c", number)
    assert [past.data for past in history] == [2, 3, 4]
    assert [past.number for past in history] == [3, 4, 5]
    assert (len(history), history.size) == (3, 30)
    seen = []

    async def handler(data, name):
        seen.append((name, data))

    last = await bus.replay(to=handler)
    assert seen == [("a.c", 2), ("a.b", 3), ("a.c", 4)]
    assert last == 5
    await bus.emit("a.c", 5)
    assert await bus.replay(to=seen.append, since=last) == 6
    assert seen[3:] == [5]
    seen.clear()
    await bus.replay(to=seen.append, what="*.b")
    assert seen == [3]


async def test_history_by_the_size_of_the_json():
    history = History(max_bytes=1000)
    async with EventBus("history", history=history) as bus:
        await bus.emit("x", "a" * 98)
        assert history.size == 100
        bus.emit_nowait("x", object())
        await bus.emit("x", "too large" * 1000)
        await anyio.to_thread.run_sync(bus.sync.emit, "x", [1, 2])
        await bus.drain()
    assert [type(past.data) for past in history] == [str, object, list]


async def test_without_a_history_nothing_is_kept():
    bus = EventBus("none")
    await bus.emit("x", 1)
    assert bus.history is None
