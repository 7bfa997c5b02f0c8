"""Messages of every kind of class reach their one handler; what is wrong is said by name."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
import msgspec
import pydantic
import pytest

from penstock import Command, CommandBus, Query, QueryBus
from penstock.cqrs import NoHandler, StreamQuery
from penstock.errors import Misuse

T = TypeVar("T")


@pytest.fixture
def commands() -> CommandBus:
    return CommandBus("users")


class Plain(Command[str]):
    def __init__(self, name: str) -> None:
        self.name = name


@dataclass
class Data(Command[str]):
    name: str


@dataclass(frozen=True, slots=True)
class Slotted(Command[str]):
    name: str


class Packed(Command[str], msgspec.Struct, frozen=True):
    name: str


class Model(pydantic.BaseModel, Command[str]):
    name: str


class Base(Command[T], Generic[T]):
    def __init__(self, name: T) -> None:
        self.name = name


class Below(Base[str]):
    pass


def attrs_class():
    attr = pytest.importorskip("attr")

    @attr.s(auto_attribs=True, frozen=True, slots=True)
    class WithAttrs(Command[str]):
        name: str

    return WithAttrs


@pytest.mark.parametrize("kind", [Plain, Data, Slotted, Packed, Model, Below, "attrs"])
async def test_a_message_of_any_class_reaches_its_handler(kind, commands: CommandBus):
    kind = attrs_class() if kind == "attrs" else kind

    async def handle(command: kind) -> str:
        return f"{type(command).__name__} {command.name}"

    commands.register(kind, handle)
    assert await commands.execute(kind(name="Ada")) == f"{kind.__name__} Ada"


async def test_handlers_of_every_form(commands: CommandBus):
    class Async(Command[str]): ...

    class Threaded(Command[int]): ...

    class Inline(Command[int]): ...

    class Object(Command[str]): ...

    class Called(Command[str]): ...

    class Made(Command[str]): ...

    class MadePlain(Command[int]): ...

    class Partial(Command[str]): ...

    @commands.handles
    async def handle(command: Async) -> str:
        return "async"

    @commands.handler(Threaded)
    def threaded(command: Threaded) -> int:
        return threading.get_ident()

    commands.register(Inline, lambda _: threading.get_ident(), inline=True)

    class Bound:
        async def method(self, command: Object) -> str:
            return "bound"

        async def __call__(self, command: Called) -> str:
            return "called"

    commands.register(Object, Bound().method)
    commands.register(Called, Bound())

    made = []

    @commands.handler(Made)
    class Handler:
        def __init__(self) -> None:
            made.append(self)

        async def handle(self, command: Made) -> str:
            return "made"

    @commands.handler(MadePlain)
    class PlainHandler:
        def handle(self, command: MadePlain) -> int:
            return threading.get_ident()

    async def with_more(more: str, command: Partial) -> str:
        return more

    commands.register(Partial, functools.partial(with_more, "partial"))

    here = threading.get_ident()
    assert await commands.execute(Async()) == "async"
    assert await commands.execute(Threaded()) != here
    assert await commands.execute(Inline()) == here
    assert await commands.execute(Object()) == "bound"
    assert await commands.execute(Called()) == "called"
    assert [await commands.execute(Made()) for _ in range(2)] == ["made", "made"]
    assert len(set(map(id, made))) == 2
    assert await commands.execute(MadePlain()) != here
    assert await commands.execute(Partial()) == "partial"


@pytest.mark.parametrize("inline", [False, True])
async def test_a_plain_function_may_wrap_an_async_one(commands: CommandBus, inline):
    async def handle(command: Plain) -> str:
        await anyio.lowlevel.checkpoint()
        return command.name

    @functools.wraps(handle)
    def wrapper(*args):
        return handle(*args)

    commands.register(Plain, wrapper, inline=inline)
    commands.register("by-name", lambda name: handle(Plain(name)), inline=inline)
    assert await commands.execute(Plain("Ada")) == "Ada"
    assert await commands.execute("by-name", "Bob") == "Bob"


async def test_a_call_that_nobody_awaits_is_told_by_its_message(commands: CommandBus):
    commands.register(Plain, lambda command: "")
    with pytest.warns(RuntimeWarning, match="coroutine 'execute Plain' was never awaited"):
        commands.execute(Plain("x"))


async def test_names_with_data(commands: CommandBus):
    @commands.handler("create-user")
    async def create(data: dict) -> str:
        return data["name"]

    assert await commands.execute("create-user", {"name": "Ada"}) == "Ada"
    assert await commands.execute("create-user", None if False else {"name": "B"}) == "B"
    with pytest.raises(NoHandler, match="'create-usr'; the nearest it has: create-user"):
        commands.execute("create-usr", {})
    with pytest.raises(Misuse, match="a name without data"):
        commands.execute("create-user")
    with pytest.raises(Misuse, match="was given 2 values"):
        commands.execute("create-user", 1, 2)


async def test_what_a_handler_raises_and_a_cancellation_come_through(commands: CommandBus):
    ended = []

    @commands.handler(Plain)
    async def handle(command: Plain) -> str:
        if command.name:
            raise LookupError(command.name)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with pytest.raises(LookupError, match="Ada"):
        await commands.execute(Plain("Ada"))
    with anyio.move_on_after(0.01) as scope:
        await commands.execute(Plain(""))
    assert scope.cancelled_caught
    assert ended == [True]


async def test_a_thread_is_waited_for_when_its_command_is_cancelled(commands: CommandBus):
    go, begun, ended = threading.Event(), threading.Event(), []

    @commands.handler(Plain)
    def handle(command: Plain) -> str:
        begun.set()
        go.wait(10)
        ended.append(True)
        return "done"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commands.execute, Plain("x"))
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
        go.set()
    assert ended == [True]


def test_what_nobody_handles_names_the_nearest(commands: CommandBus):
    class CreateUser(Command[int]): ...

    class CreateUsers(Command[int]): ...

    class Special(CreateUser): ...

    async def handle(command: CreateUser) -> int:
        return 1

    with pytest.raises(NoHandler, match="nobody handles CreateUser; it has no handlers yet"):
        commands.execute(CreateUser())
    commands.register(CreateUser, handle)
    with pytest.raises(NoHandler, match=r"nobody handles CreateUsers; the nearest.*: CreateUser"):
        commands.execute(CreateUsers())
    with pytest.raises(NoHandler, match=r"CreateUser, which it is a subclass of"):
        commands.execute(Special())
    with pytest.raises(Misuse, match="given a class") as caught:
        commands.execute(CreateUser)
    assert "make a message" in caught.value.hint
    for wrong in (None, 7, object()):
        with pytest.raises(Misuse, match="is no Command"):
            commands.execute(wrong)


def test_a_message_of_the_other_bus_is_sent_back(commands: CommandBus):
    queries = QueryBus("users")

    class GetUser(Query[int]): ...

    class AllUsers(StreamQuery[int]): ...

    for kind in (GetUser, AllUsers):
        with pytest.raises(Misuse, match=f"{kind.__name__} is no Command") as caught:
            commands.execute(kind())
        assert "QueryBus" in caught.value.hint
        with pytest.raises(Misuse, match="is no Command") as caught:
            commands.register(kind, lambda _: None)
        assert "QueryBus" in caught.value.hint
    with pytest.raises(Misuse, match="Plain is no Query or StreamQuery") as caught:
        queries.execute(Plain("x"))
    assert "CommandBus" in caught.value.hint


class TestRegistering:
    """What cannot work is refused when it is registered, and leaves the bus as it was."""

    @pytest.fixture(autouse=True)
    def _leaves_nothing(self, commands: CommandBus):
        yield
        assert set(commands.entries) <= {Plain}

    def refused(self, commands: CommandBus, kind, handler, match: str, **options):
        with pytest.raises(Misuse, match=match) as caught:
            commands.register(kind, handler, **options)
        assert caught.value.hint

    def test_a_second_handler(self, commands: CommandBus):
        async def first(command: Plain) -> str:
            return ""

        async def second(command: Plain) -> str:
            return ""

        commands.register(Plain, first)
        self.refused(commands, Plain, second, "has a handler already, first, and was given second")
        assert commands.entries[Plain].handler.given is first

    def test_what_is_no_message(self, commands: CommandBus):
        async def handle(command) -> None: ...

        self.refused(commands, 7, handle, "7 is neither a class nor a name")
        self.refused(commands, Plain("x"), handle, "is neither a class nor a name")
        self.refused(commands, "", handle, "name is empty")
        self.refused(commands, int, handle, "int is no Command")
        self.refused(commands, Command, handle, "the base of messages")

    def test_a_message_that_does_not_say_its_answer(self, commands: CommandBus):
        class Silent(Command): ...

        async def handle(command) -> None: ...

        self.refused(commands, Silent, handle, "Silent does not say what it is answered with")
        self.refused(commands, Base, handle, "Base leaves open what it is answered with")

    def test_what_is_no_handler(self, commands: CommandBus):
        class Empty: ...

        async def nothing() -> str:
            return ""

        async def keyword(*, command: Plain) -> str:
            return ""

        async def two(command: Plain, other) -> str:
            return ""

        async def generator(command: Plain):
            yield 1

        def plain_generator(command: Plain):
            yield 1

        async def of_another(command: Data) -> str:
            return ""

        async def is_async(command: Plain) -> str:
            return ""

        class Method:
            async def handle(self, command: Plain, users: object) -> str:
                return ""

        self.refused(commands, Plain, None, "None, which cannot be called")
        self.refused(commands, Plain, Plain("x"), "cannot be called")
        self.refused(commands, Plain, Empty, "has neither handle")
        self.refused(commands, Plain, nothing, "takes no message")
        self.refused(commands, Plain, keyword, "takes no message")
        self.refused(commands, Plain, two, "wants 'other' beside the message")
        self.refused(commands, Plain, generator, "is a generator function")
        self.refused(commands, Plain, plain_generator, "is a generator function")
        self.refused(commands, Plain, of_another, "of_another handles Data, and was.*Plain")
        self.refused(commands, Plain, is_async, "is async: inline=", inline=True)
        self.refused(commands, Plain, Method, "wants 'users', too")

    def test_handles_needs_an_annotation(self, commands: CommandBus):
        with pytest.raises(Misuse, match="does not say which message"):

            @commands.handles
            async def handle(command): ...

        with pytest.raises(Misuse, match="is no handler"):
            commands.handles(7)

    def test_buses_need_a_name_and_a_resolver(self):
        with pytest.raises(Misuse, match="name is ''"):
            CommandBus("")
        with pytest.raises(Misuse, match="resolver=7 is none"):
            CommandBus("users", resolver=7)


async def test_a_base_of_messages_may_annotate_a_handler(commands: CommandBus):
    async def anything(command: Command[str]) -> str:
        return type(command).__name__

    commands.register(Plain, anything)
    commands.register(Data, anything)
    assert await commands.execute(Data("x")) == "Data"


async def test_an_annotation_only_for_type_checkers_stands_in_nobodys_way(commands: CommandBus):
    async def handle(command: Unknown) -> str:  # noqa: F821
        return "done"

    commands.register(Plain, handle)
    assert await commands.execute(Plain("x")) == "done"

    async def wants(command: Data, users: Unknown) -> str:  # noqa: F821
        return ""

    with pytest.raises(Misuse, match="users is annotated as 'Unknown', which is not known there"):
        commands.register(Data, wants)
