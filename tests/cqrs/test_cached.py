"""Answers are remembered by the query, loaded once, and forgotten when a command has happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import msgspec
import pytest

from penstock import Command, CommandBus, Query, QueryBus
from penstock.cqrs import Cached, Factories, Transactional, UnitOfWork
from penstock.errors import Misuse
from penstock.testing import FakeClock

from .conftest import Bank


@dataclass(frozen=True)
class Get(Query[int]):
    number: int


class Packed(Query[int], msgspec.Struct, frozen=True):
    number: int


@dataclass(frozen=True)
class Set(Command[int]):
    number: int
    value: int


@pytest.fixture
def asked() -> list[int]:
    return []


def bus_of(asked: list[int], cached: Cached, values: dict[int, int] | None = None) -> QueryBus:
    queries = QueryBus("numbers").use(cached)

    @queries.handles
    async def get(query: Get) -> int:
        asked.append(query.number)
        await anyio.lowlevel.checkpoint()
        return (values or {}).get(query.number, query.number)

    @queries.handles
    async def packed(query: Packed) -> int:
        asked.append(-query.number)
        return -query.number

    return queries


async def test_by_the_query_and_for_its_time(asked):
    with FakeClock() as clock:
        queries = bus_of(asked, Cached(10.0))
        assert [await queries.execute(Get(1)) for _ in range(3)] == [1, 1, 1]
        assert [await queries.execute(Packed(1)) for _ in range(3)] == [-1, -1, -1]
        await queries.execute(Get(2))
        assert asked == [1, -1, 2]
        clock.advance(10.1)
        await queries.execute(Get(1))
        assert asked == [1, -1, 2, 1]


async def test_those_who_ask_at_once_share_one_answer(asked):
    queries, answers = bus_of(asked, Cached(10.0)), []

    async def ask() -> None:
        answers.append(await queries.execute(Get(1)))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert answers == [1] * 10
    assert asked == [1]


async def test_a_key_of_its_own(asked):
    class Mutable(Query[int]):
        def __init__(self, number: int) -> None:
            self.number = number

    queries = QueryBus("numbers").use(Cached(10.0, key=lambda query: query.number))

    @queries.handles
    async def get(query: Mutable) -> int:
        asked.append(query.number)
        return 1

    for _ in range(2):
        await queries.execute(Mutable(1))
    assert asked == [1]


async def test_a_command_has_them_forgotten(asked):
    cached, values = Cached(60.0), {1: 10}
    queries = bus_of(asked, cached, values)
    commands = CommandBus("numbers")
    commands.use(cached.forgotten_by(lambda command: Get(command.number)), only=Set)

    @commands.handles
    async def set_it(command: Set) -> int:
        values[command.number] = command.value
        return 1

    assert await queries.execute(Get(1)) == 10
    assert await queries.execute(Get(2)) == 2
    await commands.execute(Set(1, 11))
    assert await queries.execute(Get(1)) == 11
    assert await queries.execute(Get(2)) == 2
    assert asked == [1, 2, 1]
    cached.forget()
    await queries.execute(Get(2))
    assert asked == [1, 2, 1, 2]


async def test_they_are_forgotten_after_the_commit_wherever_the_behaviour_stands(bank: Bank, asked):
    """A query in between reads what was there before; it must not be what is remembered."""
    cached = Cached(60.0)
    queries = QueryBus("bank").use(cached)
    commands = CommandBus("bank")
    reading = sqlite3.connect(bank.path, isolation_level=None)

    @queries.handles
    async def get(query: Get) -> int:
        asked.append(query.number)
        return reading.execute("SELECT count(*) FROM account").fetchone()[0]

    async def ask_in_between(message, next):
        result = await next(message)
        assert await queries.execute(Get(1)) == 0
        return result

    @commands.handles
    async def set_it(command: Set, unit: UnitOfWork) -> int:
        unit.connection.execute("INSERT INTO account VALUES (1, 1)")
        return 1

    commands.use(Transactional(bank.units), ask_in_between, cached.forgotten_by())
    await commands.execute(Set(1, 1))
    assert await queries.execute(Get(1)) == 1
    assert asked == [1, 1]
    reading.close()


async def test_what_is_loaded_while_it_is_forgotten_is_not_remembered(asked):
    cached, go, values = Cached(60.0), anyio.Event(), {1: 10}
    queries = QueryBus("numbers").use(cached)

    @queries.handles
    async def get(query: Get) -> int:
        asked.append(query.number)
        value = values[1]
        await go.wait()
        return value

    answers = []

    async def ask() -> None:
        answers.append(await queries.execute(Get(1)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        while not asked:
            await anyio.lowlevel.checkpoint()
        values[1] = 11
        cached.forget(Get(1))
        go.set()
    assert answers == [10]
    assert await queries.execute(Get(1)) == 11


async def test_a_load_that_is_shared_takes_nothing_from_one_request(asked):
    class Session:
        is_open = True

    def session() -> Iterator[Session]:
        made = Session()
        try:
            yield made
        finally:
            made.is_open = False

    factories, go = Factories().add(Session, session), anyio.Event()
    queries = QueryBus("numbers", resolver=factories).use(Cached(60.0))

    @queries.handles
    async def get(query: Get, session: Session) -> bool:
        asked.append(1)
        await go.wait()
        return session.is_open

    answers = []

    async def request() -> None:
        async with factories.scope(None) as scope:
            answers.append(await queries.within(scope).execute(Get(1)))

    async with anyio.create_task_group() as tasks:
        leader = anyio.CancelScope()

        async def lead() -> None:
            with leader:
                await request()

        tasks.start_soon(lead)
        while not asked:
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(request)
        await anyio.lowlevel.checkpoint()
        leader.cancel()
        await anyio.lowlevel.checkpoint()
        go.set()
    assert answers == [True]


def test_what_cannot_be_remembered_is_refused():
    class Identity(Query[int]): ...

    @dataclass
    class Unhashable(Query[int]):
        number: int

    async def handle(query) -> int:
        return 1

    for kind, match in (
        (Identity, "two Identity are never equal"),
        (Unhashable, "Unhashable cannot be a key: it is not hashable"),
    ):
        queries = QueryBus("numbers")
        queries.register(kind, handle)
        with pytest.raises(Misuse, match=match) as caught:
            queries.use(Cached(1.0))
        assert "Cached(key=…)" in caught.value.hint
    commands = CommandBus("numbers").use(Cached(1.0))
    with pytest.raises(Misuse, match="Set is a command, which has to happen each time"):
        commands.register(Set, handle)
    for wrong in (
        lambda: Cached(0.0),
        lambda: Cached(1.0, key=7),
        lambda: Cached(1.0).forgotten_by(7),
    ):
        with pytest.raises(Misuse):
            wrong()


async def test_an_unhashable_value_within_a_key_is_named():
    queries = QueryBus("numbers").use(Cached(1.0))

    @queries.handles
    async def get(query: Get) -> int:
        return 1

    with pytest.raises(Misuse, match="cannot remember Get: unhashable type: 'list'"):
        await queries.execute(Get([1]))
