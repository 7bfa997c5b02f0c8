"""Buses in FastAPI routes: what handlers need is what the request has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import fastapi
import httpx
import pytest
from fastapi import Depends, FastAPI

from penstock import Command, CommandBus, Query, QueryBus
from penstock.cqrs import Factories
from penstock.cqrs.command_bus import WithinCommands
from penstock.cqrs.fastapi import provide
from penstock.cqrs.query_bus import WithinQueries
from penstock.errors import Misuse

log: list[str] = []


@pytest.fixture(autouse=True)
def _clear() -> None:
    log.clear()


class Session:
    name = "session"


class Users:
    def __init__(self, session: Session) -> None:
        self.session = session


class Clock:
    now = 7


class Audit: ...


class CreateUser(Command[str]):
    def __init__(self, name: str) -> None:
        self.name = name


class Tell(Command[str]): ...


class Count(Query[int]): ...


def get_session() -> Iterator[Session]:
    log.append("open session")
    yield Session()
    log.append("close session")


def get_users(session: Annotated[Session, Depends(get_session)]) -> Users:
    return Users(session)


async def audit() -> AsyncIterator[Audit]:
    log.append("open audit")
    yield Audit()
    log.append("close audit")


commands = CommandBus("users", resolver=Factories().add(Audit, audit))
queries = QueryBus("users")


@commands.handles
async def create_user(
    command: CreateUser, users: Annotated[Users, Depends(get_users)], clock: Clock, audit: Audit
) -> str:
    told = await commands.execute(Tell())
    return f"{command.name} by {users.session.name} at {clock.now}, {told}"


@commands.handles
async def tell(command: Tell, session: Annotated[Session, Depends(get_session)]) -> str:
    return "told" if session.name == "session" else session.name


@queries.handles
async def count(query: Count, users: Users) -> int:
    return 3


Commands = Annotated[WithinCommands, Depends(provide(commands, given={Clock: Clock}))]
Queries = Annotated[WithinQueries, Depends(provide(queries, Count, given={Users: get_users}))]


def make() -> FastAPI:
    app = FastAPI()

    @app.post("/users/{name}")
    async def create(name: str, commands: Commands) -> str:
        return await commands.execute(CreateUser(name))

    @app.get("/users")
    async def users(queries: Queries) -> int:
        return await queries.execute(Count())

    return app


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_request_gives_its_dependencies_and_closes_them():
    app = make()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        answer = await client.post("/users/Ada")
        assert answer.json() == "Ada by session at 7, told"
        assert log == ["open session", "open audit", "close audit", "close session"]
        assert (await client.get("/users")).json() == 3

        class Fake(Session):
            name = "fake"

        app.dependency_overrides[get_session] = Fake
        answer = await client.post("/users/Ada")
        assert answer.json() == "Ada by fake at 7, fake"


def test_what_nobody_gives_is_said_when_the_route_is_defined():
    class Unknown(Command[int]): ...

    app = FastAPI()
    with pytest.raises(Misuse, match="nobody gives Clock") as caught:

        @app.get("/a")
        async def a(commands=Depends(provide(commands))) -> None: ...  # noqa: B008

    assert "given={Users: get_users}" in caught.value.hint
    with pytest.raises(Misuse, match="nobody handles Unknown of CommandBus"):
        fastapi.dependencies.utils.get_dependant(path="/", call=provide(commands, Unknown))
    with pytest.raises(Misuse, match="this is no bus"):
        provide(7)
