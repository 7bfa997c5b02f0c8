"""What a name, a pattern and a class stand for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import EventBus
from penstock.events.names import matches

from .recorder import Recorder


@pytest.mark.parametrize(
    ("pattern", "name", "stands_for"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a.b", "a", False),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.*.c", "a.b.c", True),
        ("**", "a", True),
        ("**", "a.b.c", True),
        ("a.**", "a", True),
        ("a.**", "a.b.c", True),
        ("a.**", "b.a", False),
        ("a.**.d", "a.d", True),
        ("a.**.d", "a.b.c.d", True),
        ("a.**.d", "a.b.c", False),
        ("**.d", "a.b.d", True),
        ("**.b.**", "a.b.c", True),
    ],
)
def test_patterns(pattern: str, name: str, stands_for: bool):
    assert matches(pattern, name) is stands_for


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6), st.data())
def test_a_name_with_words_put_out_still_matches(words: list[str], data: st.DataObject):
    """Any word may be a `*`, and any run of words a `**`."""
    pattern = [data.draw(st.sampled_from([word, "*"])) for word in words]
    assert matches(".".join(pattern), ".".join(words))
    start = data.draw(st.integers(0, len(words)))
    end = data.draw(st.integers(start, len(words)))
    assert matches(".".join([*pattern[:start], "**", *pattern[end:]]), ".".join(words))


async def test_who_hears_a_name():
    bus = EventBus("names")
    recorder = Recorder()
    for pattern in ("user.*", "user.created", "user.**", "**", "order.*", "*.created", "*"):
        bus.on(pattern, recorder.handler(pattern))
    await bus.emit("user.created", 1)
    assert [name for name, _ in recorder.seen] == [
        "user.*",
        "user.created",
        "user.**",
        "**",
        "*.created",
    ]


class Event:
    pass


@dataclass
class UserEvent(Event):
    user: int


@dataclass
class UserCreated(UserEvent):
    name: str


class Named(StrEnum):
    CREATED = "user.created"


async def test_objects_reach_the_handlers_of_their_class_and_its_bases():
    bus = EventBus("classes")
    recorder = Recorder()
    for each in (object, UserCreated, Event, UserEvent, int):
        bus.on(each, recorder.handler(each.__name__))
    bus.on("**", recorder.handler("names"))
    event = UserCreated(7, "Ada")
    outcomes = await bus.emit(event)
    assert recorder.seen == [
        (name, event) for name in ("object", "UserCreated", "Event", "UserEvent")
    ]
    assert outcomes.event is UserCreated
    recorder.seen.clear()
    await bus.emit(UserEvent(7))
    assert [name for name, _ in recorder.seen] == ["object", "Event", "UserEvent"]


async def test_an_object_that_cannot_be_hashed_and_the_name_of_its_class():
    bus = EventBus("unhashable")
    seen = []
    bus.on(list, lambda data, name: seen.append((data, name)), inline=True)
    await bus.emit([1])
    assert seen == [([1], "list")]


async def test_a_member_of_an_enum_of_strings_is_a_name():
    bus = EventBus("enum")
    recorder = Recorder()
    bus.on("user.created", recorder.handler("text"))
    bus.on(Named.CREATED, recorder.handler("member"))
    await bus.emit(Named.CREATED, 1)
    await bus.emit("user.created", 2)
    assert recorder.seen == [("text", 1), ("member", 1), ("text", 2), ("member", 2)]


async def test_who_subscribes_later_hears_the_next_one():
    bus = EventBus("later")
    recorder = Recorder()
    await bus.emit("x", 0)
    off = bus.on("x", recorder.handler("a"))
    await bus.emit("x", 1)
    bus.on("*", recorder.handler("b"))
    await bus.emit("x", 2)
    off()
    await bus.emit("x", 3)
    assert recorder.seen == [("a", 1), ("a", 2), ("b", 2), ("b", 3)]


async def test_names_that_a_program_makes_up_are_not_kept_for_ever():
    bus = EventBus("made up")
    heard = []
    bus.on("n.*", heard.append, inline=True)
    for number in range(10_000):
        await bus.emit(f"n.{number}", number)
    assert heard == list(range(10_000))
    assert len(bus._routes) <= 4096
