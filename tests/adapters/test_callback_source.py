"""Python code that calls back many times, as a source with backpressure."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from penstock.adapters import from_callback
from penstock.errors import Closed, Full, Misuse


class Feed:
    """An SDK that calls its listeners from threads of its own, or at once."""

    def __init__(self) -> None:
        self.listeners: list[Callable[..., None]] = []
        self.threads: list[threading.Thread] = []

    def subscribe(self, listener: Callable[..., None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.unsubscribe(listener)

    def unsubscribe(self, listener: Callable[..., None]) -> None:
        self.listeners.remove(listener)
        self.join()  # as many do

    def tell(self, count: int, *, threads: int = 1) -> None:
        def run() -> None:
            for number in range(count):
                for listener in list(self.listeners):
                    listener(number)

        self.threads += [threading.Thread(target=run) for _ in range(threads)]
        for thread in self.threads[-threads:]:
            thread.start()

    def join(self) -> None:
        threads, self.threads = self.threads, []
        for thread in threads:
            thread.join()


@pytest.fixture
def feed():
    feed = Feed()
    yield feed
    feed.join()


async def test_all_calls_come_and_no_more_than_fit_are_inside(anyio_backend, feed):
    async with from_callback(feed.subscribe, decode=lambda n: n, max_items=16) as source:
        feed.tell(5000)
        got = []
        async for number in source:
            got.append(number)
            assert source.statistics().items <= 16
            if len(got) == 5000:
                break
    assert got == list(range(5000))
    assert feed.listeners == []


async def test_it_begins_a_stream(anyio_backend, feed):
    async with from_callback(feed.subscribe, max_items=16) as source:
        feed.tell(1000, threads=3)
        numbers = await source.stream().map(lambda call: call[0]).take(3000).collect()
    assert sorted(numbers) == sorted(list(range(1000)) * 3)


def test_a_thread_takes(feed):
    with from_callback(feed.subscribe, max_items=4) as source:
        feed.tell(100)
        assert [next(iter(source)) for _ in range(100)] == [(n,) for n in range(100)]


async def test_a_loops_own_call_does_not_wait(anyio_backend, feed):
    async with from_callback(feed.subscribe, max_items=10) as source:
        listener = feed.listeners[0]
        for number in range(20):
            listener(number)
        with pytest.raises(Full, match="20 calls wait"):
            listener(20)
        assert [await source.aget() for _ in range(20)] == [(n,) for n in range(20)]
        listener(21)
        assert await source.aget_many() == [(21,)]
        assert source._queue.maxsize == 10
        figures = source.statistics()
    assert (figures.beyond, figures.dropped, figures.accepted) == (10, 1, 21)


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "refuse"])
def test_what_does_not_fit_goes_as_chosen(feed, overflow):
    with from_callback(feed.subscribe, max_items=3, overflow=overflow) as source:
        refused = 0
        for number in range(5):
            try:
                feed.listeners[0](number)
            except Full:
                refused += 1
        kept = [source.get()[0] for _ in range(3)]
        assert kept == ([2, 3, 4] if overflow == "drop_oldest" else [0, 1, 2])
        assert refused == (2 if overflow == "refuse" else 0)
        assert source.statistics().dropped == 2


def test_leaving_lets_waiting_callers_go_first(feed):
    source = from_callback(feed.subscribe, max_items=3)
    with source:  # unsubscribing joins the thread, which waits in a call
        feed.tell(100)
        while source.statistics().accepted < 3:
            pass
    assert list(source) == [(0,), (1,), (2,)]
    assert source.statistics().late == 1
    with pytest.raises(Closed):
        source.get()


def test_calls_after_the_end_are_ignored_and_counted():
    callbacks: list[Callable[..., None]] = []
    with from_callback(callbacks.append) as source:
        callbacks[0](1)
    callbacks[0](2)
    assert list(source) == [(1,)]
    assert source.statistics().late == 1


def test_what_unregister_is_given():
    given: list[object] = []
    with from_callback(lambda callback: 42, given.append):
        pass
    with from_callback(lambda callback: None, given.append) as source:
        pass
    assert given == [42, source._call]


async def test_both_may_be_async(anyio_backend):
    steps: list[object] = []

    async def register(callback: Callable[..., None]) -> str:
        await anyio.lowlevel.checkpoint()
        callback("first")
        return "handle"

    async def unregister(handle: str) -> None:
        await anyio.lowlevel.checkpoint()
        steps.append(handle)

    async with from_callback(register, unregister) as source:
        assert await source.aget() == ("first",)
    assert steps == ["handle"]
    with pytest.raises(Misuse, match="register= is an async function"):
        from_callback(register).__enter__()


async def test_a_cancelled_registration_leaves_nothing_open(anyio_backend):
    async def register(callback: Callable[..., None]) -> None:
        await anyio.sleep_forever()

    source = from_callback(register)
    with anyio.move_on_after(0.01) as scope:
        await source.__aenter__()
    assert scope.cancelled_caught
    assert source.is_closed


def test_a_failing_registration_is_raised():
    def register(callback: Callable[..., None]) -> None:
        raise LookupError("no feed")

    source = from_callback(register)
    with pytest.raises(LookupError, match="no feed"):
        source.__enter__()
    assert source.is_closed


def test_keywords_need_a_decode():
    callbacks: list[Any] = []
    with from_callback(callbacks.append, name="feed") as source:
        with pytest.raises(TypeError, match="feed was called with keywords"):
            callbacks[0](1, kind="x")
        assert source.statistics().items == 0
    with from_callback(callbacks.append, decode=dict) as source:
        callbacks[1](kind="x")
        assert source.get() == {"kind": "x"}


def test_forgetting_to_close_it_is_told():
    source = from_callback(lambda callback: None, name="feed")
    source.__enter__()
    with pytest.warns(ResourceWarning, match="unclosed <feed, open>"):
        del source
    gc.collect()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3,), {}, "register=3"),
        ((print, 3), {}, "unregister=3"),
        ((None,), {}, "register=None"),
        ((print,), {"decode": 3}, "decode=3"),
        ((print,), {"max_items": 0}, "max_items=0"),
        ((print,), {"overflow": "x"}, "overflow='x'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, options, message):
    with pytest.raises(Misuse, match=message):
        from_callback(*arguments, **options)


def test_it_is_opened_once():
    source = from_callback(lambda callback: None)
    with source:
        pass
    with pytest.raises(Misuse, match="opened before"):
        source.__enter__()
