"""A message says what it is answered with, and type checkers know."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, assert_type

import msgspec

from penstock import Command, CommandBus, Query, QueryBus, Stream, StreamQuery
from penstock.cqrs import EventLog, Factories, Projection, Sqlite, UnitOfWork, View


@dataclass
class UserId:
    number: int


@dataclass(frozen=True)
class CreateUser(Command[UserId]):
    name: str


class Forget(Command[None]):
    pass


class GetUser(Query[str], msgspec.Struct, frozen=True):
    number: int


class Rows(StreamQuery[tuple[int, str]]):
    pass


commands = CommandBus("users", resolver=Factories().value(UserId, UserId(1)))
queries = QueryBus("users")


@commands.handler(CreateUser)
async def create_user(command: CreateUser) -> UserId:
    return UserId(len(command.name))


@commands.handles
def forget(command: Forget) -> None:
    pass


@queries.handler(Rows)
async def rows(query: Rows) -> AsyncIterator[tuple[int, str]]:
    yield 1, ""


commands.register(7, create_user)  # type: ignore[arg-type]
commands.register(GetUser, create_user)  # type: ignore[arg-type]
queries.register(CreateUser, create_user)  # type: ignore[arg-type]
commands.register(CreateUser, 7)  # type: ignore[arg-type]


async def use() -> None:
    assert_type(await commands.execute(CreateUser("Ada")), UserId)
    assert_type(await commands.execute("create-user", {"name": "Ada"}), Any)
    assert_type(await queries.execute(GetUser(1)), str)
    call: Coroutine[Any, Any, UserId] = commands.execute(CreateUser("Ada"))
    await call
    await commands.execute(GetUser(1))  # type: ignore[call-overload]
    await commands.execute("create-user")  # type: ignore[call-overload]
    await queries.execute(Rows())  # type: ignore[call-overload]
    queries.stream(GetUser(1))  # type: ignore[arg-type]
    assert_type(queries.stream(Rows()), Stream[tuple[int, str]])
    async with queries.stream(Rows()) as items:
        async for item in items:
            assert_type(item, tuple[int, str])
    async with Factories().scope(None) as scope:
        within = commands.within(scope)
        assert_type(await within.execute(CreateUser("Ada")), UserId)
        assert_type(await create_user(CreateUser("Ada")), UserId)


def block() -> None:
    with commands.sync as blocking:
        assert_type(blocking.execute(CreateUser("Ada")), UserId)
    with queries.sync as asking:
        assert_type(asking.execute(GetUser(1)), str)
        for item in asking.stream(Rows()):
            assert_type(item, tuple[int, str])


async def in_a_unit(command: CreateUser, unit: UnitOfWork[sqlite3.Connection]) -> None:
    assert_type(unit.connection, sqlite3.Connection)

    def count(connection: sqlite3.Connection, least: int) -> int:
        return least

    assert_type(await unit.run(count, 1), int)
    await unit.run(count, "1")  # type: ignore[arg-type]


async def read_model() -> None:
    projection = Projection("p", EventLog("l"), Sqlite("x.db"), tables={"t": "id"})

    @projection.on(UserId)
    def seen(view: View, event: UserId) -> None:
        pass

    @projection.on(UserId)  # type: ignore[arg-type]
    def wrong(view: View, event: CreateUser) -> None:
        pass

    assert_type(await projection.rebuild(), int)
    assert_type((await projection.state()).lag, int)
