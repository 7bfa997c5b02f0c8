"""What cannot work is refused when it is given, with a remedy, and changes nothing."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

from penstock import EventBus, Policy, Retry
from penstock.errors import Misuse
from penstock.events import History

from .recorder import hint_of


@dataclass
class Created:
    name: str


@dataclass
class Other:
    name: str


async def handles_other(event: Other) -> None: ...


async def handles_either(event: Other | Created) -> None: ...


async def handles_optional(event: Created | None) -> None: ...


async def three(a, b, c) -> None: ...


async def by_keyword(data, *, more) -> None: ...


def yields(data):
    yield data


async def yields_async(data):
    yield data


async def fine(data) -> None: ...


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (None, "None cannot be called"),
        ("a name", "'a name' cannot be called"),
        (three, "wants 3 arguments"),
        (by_keyword, "wants 'more' by keyword"),
        (yields, "yields"),
        (yields_async, "yields"),
        (handles_other, "handles_other takes Other, and Created is none"),
        (functools.partial(three, 1, 2, 3), None),
    ],
)
def test_what_is_no_handler(handler, says):
    bus = EventBus("bad")
    if says is None:
        bus.on(Created, handler)
        return
    with pytest.raises(Misuse) as caught:
        bus.on(Created, handler)
    assert says in str(caught.value)
    assert "EventBus 'bad'" in str(caught.value)
    assert hint_of(caught.value)
    assert bus.statistics().handlers == ()


def test_a_coroutine_instead_of_a_function():
    bus = EventBus("bad")
    coroutine = fine(1)
    with pytest.raises(Misuse, match="cannot be called"):
        bus.on("x", coroutine)
    coroutine.close()


@pytest.mark.parametrize("handler", [handles_either, handles_optional, fine, print])
def test_what_is_one(handler):
    EventBus("good").on(Created, handler)


def test_a_method_is_checked_without_its_self():
    class Has:
        async def hears(self, event: Created) -> None: ...

        async def hears_other(self, event: Other) -> None: ...

    bus = EventBus("methods")
    bus.on(Created, Has().hears)
    with pytest.raises(Misuse, match="takes Other"):
        bus.on(Created, Has().hears_other)


def test_unsubscribing_twice():
    bus = EventBus("twice")
    off = bus.on("x", fine)
    assert off.is_active
    off()
    assert not off.is_active
    with pytest.raises(Misuse, match="fine was unsubscribed already") as caught:
        off()
    assert "is_active" in hint_of(caught.value)


async def test_unsubscribing_by_the_function():
    bus = EventBus("by function")

    @bus.on("x")
    @bus.on("y")
    async def hears(data): ...

    bus.off(hears, "x")
    with pytest.raises(Misuse, match="hears is not subscribed to 'x'"):
        bus.off(hears, "x")
    assert len(await bus.emit("y")) == 1
    bus.off(hears)
    with pytest.raises(Misuse, match="is not subscribed"):
        bus.off(hears)


@pytest.mark.parametrize("what", ["", ".", "a..b", "a.b*", "***", 3, None, Created("instance")])
def test_what_is_neither_a_name_nor_a_class(what):
    bus = EventBus("bad")
    with pytest.raises(Misuse) as caught:
        bus.on(what, fine)
    assert hint_of(caught.value)
    with pytest.raises(Misuse):
        bus.on(what)  # a decorator says so before there is a function


@pytest.mark.parametrize("name", ["", "a..b", "a.*", "**"])
async def test_what_is_no_name_of_an_event(name):
    bus = EventBus("bad")
    with pytest.raises(Misuse) as caught:
        await bus.emit(name)
    assert hint_of(caught.value)


def test_a_class_and_data_without_a_name():
    bus = EventBus("bad")
    with pytest.raises(Misuse, match="is a class"):
        bus.emit(Created)
    with pytest.raises(Misuse, match="is no name"):
        bus.emit(Created("a"), "data")
    with pytest.raises(Misuse, match="is no name"):
        bus.emit_nowait(Created("a"), "data")
    with pytest.raises(Misuse, match="is a class"):
        bus.sync.emit(Created)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "high"},
        {"priority": True},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "1"},
        {"policy": Retry(attempts=2)},
        {"backlog": -1},
        {"backlog": 1.5},
        {"inline": True},
        {"retry": 3},
    ],
)
def test_options_that_cannot_work(options):
    bus = EventBus("bad")
    with pytest.raises(Misuse) as caught:
        bus.on("x", fine, **options)
    assert hint_of(caught.value)
    with pytest.raises(Misuse):
        bus.on("x", **options)(fine)
    assert bus.statistics().handlers == ()


@pytest.mark.parametrize("options", [{"timeout": 1}, {"policy": Policy("p", Retry(attempts=2))}])
def test_inline_with_what_would_stop_the_loop(options):
    with pytest.raises(Misuse, match="inline"):
        EventBus("bad").on("x", print, inline=True, **options)


def test_two_handlers_in_one():
    with pytest.raises(Misuse, match="2 handlers"):
        EventBus("bad").on("x", fine, fine)


def test_what_cannot_be_held_weakly():
    with pytest.raises(Misuse, match="cannot be held weakly"):
        EventBus("bad").on("x", [].append, weak=True)


async def one_argument(delivery): ...


@pytest.mark.parametrize("middleware", [None, print, lambda delivery, proceed: None, one_argument])
def test_what_is_no_middleware(middleware):
    with pytest.raises(Misuse) as caught:
        EventBus("bad").use(middleware)
    assert hint_of(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": 3},
        {"queue": 0},
        {"queue": True},
        {"queue": 1.5},
        {"overflow": "drop"},
        {"max_depth": 0},
        {"max_depth": 1000},
        {"on_error": 3},
        {"on_drop": "x"},
        {"history": 1000},
    ],
)
def test_a_bus_that_cannot_be(arguments):
    with pytest.raises(Misuse) as caught:
        EventBus(**{"name": "bad", **arguments})
    assert hint_of(caught.value)


def test_a_history_is_for_one_bus():
    history = History(max_bytes=100)
    EventBus("one", history=history)
    with pytest.raises(Misuse, match="another bus's"):
        EventBus("two", history=history)
    for arguments in ({"max_bytes": 0}, {"max_bytes": True}, {"max_bytes": 1, "size_of": 3}):
        with pytest.raises(Misuse):
            History(**arguments)


async def test_what_is_asked_of_one_handler():
    bus = EventBus("request")
    with pytest.raises(Misuse, match="has none"):
        await bus.request("x")
    bus.on("x", fine)
    bus.on("*", fine)
    with pytest.raises(Misuse, match="has 2: fine, fine"):
        await bus.request("x")
    with pytest.raises(Misuse, match="timeout"):
        await bus.expect("x", timeout=-1)
    with pytest.raises(Misuse, match="keeps no history"):
        await bus.replay(to=fine)
    with pytest.raises(Misuse, match="nothing that events can be handed to"):
        bus.bridge("x", to=print)
