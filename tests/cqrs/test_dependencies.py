"""What handlers are given beside the message: by factories, dishka, or from an open scope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import anyio
import dishka
import pytest

from penstock import Command, CommandBus, QueryBus, StreamQuery
from penstock.cqrs import DishkaResolver, Factories, Misfits, NoHandler
from penstock.errors import Misuse


class Clock:
    def __init__(self, now: int = 7) -> None:
        self.now = now


class Users:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock


class Add(Command[int]): ...


class Rows(StreamQuery[int]): ...


async def test_factories_of_every_form_made_once_a_call_and_closed_behind_it():
    log: list[str] = []

    class Session: ...

    class Cursor: ...

    class Async: ...

    async def make_async(clock: Clock) -> Async:
        await anyio.lowlevel.checkpoint()
        log.append("async")
        return Async()

    def make_session(clock: Clock) -> Iterator[Session]:
        log.append("open session")
        try:
            yield Session()
        except LookupError:
            log.append("roll back")
            raise
        finally:
            log.append("close session")

    async def make_cursor(session: Session, made: Async) -> AsyncIterator[Cursor]:
        log.append("open cursor")
        yield Cursor()
        log.append("close cursor")

    factories = (
        Factories()
        .value(Clock, Clock())
        .add(Users)
        .add(Session, make_session)
        .add(Cursor, make_cursor)
        .add(Async, make_async)
    )
    commands = CommandBus("users", resolver=factories)
    fail = False

    @commands.handles
    async def add(command: Add, users: Users, session: Session, *, cursor: Cursor) -> int:
        log.append("handle")
        if fail:
            raise LookupError
        return users.clock.now

    assert await commands.execute(Add()) == 7
    assert log == [
        "open session",
        "async",
        "open cursor",
        "handle",
        "close cursor",
        "close session",
    ]
    fail = True
    log.clear()
    with pytest.raises(LookupError):
        await commands.execute(Add())
    assert log[-3:] == ["handle", "roll back", "close session"]


async def test_a_class_is_made_with_them_and_a_thread_gets_them():
    factories = Factories().value(Clock, Clock()).add(Users)
    commands = CommandBus("users", resolver=factories)

    @commands.handler(Add)
    class Handler:
        def __init__(self, users: Users, limit: int = 3) -> None:
            self.users = users
            self.limit = limit

        def handle(self, command: Add) -> int:
            return self.users.clock.now + self.limit

    assert await commands.execute(Add()) == 10


async def test_what_factories_refuse():
    with pytest.raises(Misuse, match="cannot be called"):
        Factories().add(Clock, 7)
    with pytest.raises(Misuse, match="Clock is made already"):
        Factories().value(Clock, Clock()).add(Clock)
    with pytest.raises(Misuse, match="does not say what that is"):
        Factories().add(Clock, lambda something: Clock())

    class Left: ...

    class Right: ...

    def make_left(right: Right) -> Left:
        return Left()

    def make_right(left: Left) -> Right:
        return Right()

    circle = Factories().add(Left, make_left).add(Right, make_right)
    commands = CommandBus("users", resolver=circle)

    @commands.handles
    async def add(command: Add, left: Left, clock: Clock) -> int:
        return 1

    with pytest.raises(Misuse, match="in a circle: Left → Right → Left"):
        await commands.execute(Add())
    with pytest.raises(Misfits) as caught:
        commands.validate(packages=__name__)
    assert [each.partition(", and")[0] for each in caught.value.findings] == [
        "nobody handles Add of tests.cqrs.test_dependencies" if False else "add wants left: Left",
        "add wants clock: Clock",
    ]


async def test_without_a_resolver_it_is_said():
    commands = CommandBus("users")

    @commands.handles
    async def add(command: Add, users: Users) -> int:
        return 1

    with pytest.raises(Misuse, match="Add has a handler with dependencies, and its bus no resol"):
        await commands.execute(Add())
    with pytest.raises(Misfits, match="add wants users: Users, and no resolver does not have it"):
        commands.validate(packages=__name__)


class Provider(dishka.Provider):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    @dishka.provide(scope=dishka.Scope.APP)
    def clock(self) -> Clock:
        return Clock()

    @dishka.provide(scope=dishka.Scope.REQUEST)
    async def users(self, clock: Clock) -> AsyncIterator[Users]:
        self.log.append("open")
        yield Users(clock)
        self.log.append("close")


async def test_a_dishka_container_has_a_scope_for_each_call():
    log: list[str] = []
    container = dishka.make_async_container(Provider(log), lock_factory=None)
    commands = CommandBus("users", resolver=DishkaResolver(container))
    fail = False

    @commands.handles
    async def add(command: Add, users: Users) -> int:
        log.append("handle")
        if fail:
            raise LookupError
        return users.clock.now

    commands.validate(packages="nothing")
    assert await commands.execute(Add()) == 7
    fail = True
    with pytest.raises(LookupError):
        await commands.execute(Add())
    assert log == ["open", "handle", "close"] * 2
    await container.close()


async def test_a_dishka_container_that_lacks_something_is_found_out():
    container = dishka.make_async_container(Provider([]))
    commands = CommandBus("users", resolver=DishkaResolver(container))

    class Unknown: ...

    @commands.handles
    async def add(command: Add, users: Users, other: Unknown) -> int:
        return 1

    with pytest.raises(Misfits, match="add wants other: Unknown, and the dishka container"):
        commands.validate(packages="nothing")
    await container.close()
    with pytest.raises(Misuse, match="no container of dishka"):
        DishkaResolver(object())


async def test_a_plain_dishka_container_and_its_context():
    class Request(dishka.Provider):
        sent = dishka.from_context(provides=Add, scope=dishka.Scope.REQUEST)

        @dishka.provide(scope=dishka.Scope.REQUEST)
        def users(self, command: Add) -> Users:
            return Users(Clock(11))

    container = dishka.make_container(Request())
    resolver = DishkaResolver(container, context=lambda message: {Add: message})
    commands = CommandBus("users", resolver=resolver)

    @commands.handles
    async def add(command: Add, users: Users) -> int:
        return users.clock.now

    assert await commands.execute(Add()) == 11
    container.close()


async def test_calls_within_a_scope_that_is_open_already():
    log: list[str] = []
    container = dishka.make_async_container(Provider(log), lock_factory=None)
    commands = CommandBus("users", resolver=DishkaResolver(container))
    queries = QueryBus("users", resolver=DishkaResolver(container))

    class Outer(Command[int]): ...

    seen = []

    @commands.handles
    async def add(command: Add, users: Users) -> int:
        seen.append(users)
        return 1

    @commands.handles
    async def outer(command: Outer, users: Users) -> int:
        seen.append(users)
        return await commands.execute(Add())

    @queries.handles
    async def rows(query: Rows, users: Users):
        seen.append(users)
        yield 1
        yield 2

    async with container() as request:
        within = commands.within(request)
        await within.execute(Outer())
        assert await queries.within(request).stream(Rows()).collect() == [1, 2]
        assert log == ["open"]
    assert len(set(map(id, seen))) == 1
    assert log == ["open", "close"]
    await commands.execute(Add())
    assert log == ["open", "close"] * 2
    with pytest.raises(Misuse, match="is no scope"):
        commands.within(object())
    await container.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_within_a_scope_that_is_cancelled_before_it_begins_leaves_nothing():
    commands = CommandBus("users")
    commands.register(Add, lambda command: 1)
    async with Factories().scope(None) as scope:
        task = asyncio.create_task(commands.within(scope).execute(Add()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await commands.within(scope).execute(Add()) == 1
        with pytest.raises(NoHandler):
            commands.within(scope).execute("unknown", 1)
