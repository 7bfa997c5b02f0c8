"""What can be known before the first call is told at once, and the whole can be drawn."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass

import pytest

from penstock import Command, CommandBus, Query, QueryBus, Service, StreamQuery
from penstock.cqrs import Factories, Graph, Logged, Misfits, Transactional, UnitOfWork, Validated
from penstock.errors import Misuse
from penstock.service import PartFailed

from .conftest import Bank


@dataclass(frozen=True, slots=True)
class Handled(Command[int]):
    number: int


class Orphan(Command[int]):
    pass


class Base(Command[int]):
    pass


class Below(Base):
    pass


class Asked(Query[str]):
    pass


class Rows(StreamQuery[str]):
    pass


class Users: ...


class UserCreated: ...


async def handled(command: Handled) -> int:
    return command.number


async def below(command: Below) -> int:
    return 1


def test_it_finds_everything_at_once():
    commands = CommandBus("users", resolver=Factories())
    commands.register(Handled, handled)
    commands.register(Below, below)
    commands.validate(packages="nothing.of.the.kind")
    with pytest.raises(Misfits) as caught:
        commands.validate(packages=[__name__])
    assert caught.value.findings == (f"nobody handles Orphan of {__name__}",)
    assert "CommandBus('users'): one thing cannot work:" in str(caught.value)

    @commands.handles
    async def orphan(command: Orphan, users: Users, unit: UnitOfWork) -> str:
        return ""

    with pytest.raises(Misfits, match="3 things cannot work") as caught:
        commands.validate(packages=[__name__])
    assert caught.value.findings == (
        "orphan returns str, and Orphan is answered with int",
        "orphan wants users: Users, and Factories() does not have it",
        "orphan wants unit: UnitOfWork, and nothing opens one for Orphan",
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.findings == caught.value.findings


def test_queries_and_streams_alike():
    queries = QueryBus("users")
    with pytest.raises(Misfits) as caught:
        queries.validate(packages=__name__)
    assert caught.value.findings == (
        f"nobody handles Asked of {__name__}",
        f"nobody handles Rows of {__name__}",
    )

    @queries.handles
    async def asked(query: Asked) -> str:
        return ""

    @queries.handles
    async def rows(query: Rows):
        yield ""

    queries.validate(packages=__name__)


def test_a_behaviour_for_nobody_is_found():
    commands = CommandBus("users")
    commands.register(Handled, handled)
    commands.use(Logged(), only=(Handled, "creat-user"))
    with pytest.raises(Misfits) as caught:
        commands.validate(packages="nothing")
    assert caught.value.findings == (
        "Logged() is used for 'creat-user' only, which nobody handles",
    )


async def test_a_service_that_starts_validates():
    commands = CommandBus("users", packages=__name__)
    commands.register(Handled, handled)
    commands.register(Below, below)
    service = Service("users")
    service.add(commands)
    with pytest.raises(PartFailed) as caught:
        async with service:
            pass
    assert caught.value.__cause__.findings == (f"nobody handles Orphan of {__name__}",)
    with pytest.raises(Misuse, match="packages="):
        CommandBus("users", packages=[7])


async def test_it_prints_and_draws_who_handles_what(bank: Bank):
    commands = CommandBus("users", resolver=Factories().add(Users))

    @commands.handler(Orphan, events=[UserCreated, "user.told"])
    async def orphan(command: Orphan, users: Users, unit: UnitOfWork) -> int:
        return 1

    commands.register(Handled, handled)
    commands.register("by-name", lambda data: data)
    commands.use(Logged(logging.getLogger("x")), Validated(print), only=(Orphan, Handled))
    commands.use(Transactional(bank.units), only=Orphan)
    graph = commands.graph()
    assert isinstance(graph, Graph)
    assert str(graph).replace(str(bank.path), "bank.db") == (
        "users\n"
        "  Orphan → Logged() → Validated(print) → Transactional(Sqlite(bank.db)) → orphan\n"
        "    needs Users, UnitOfWork\n"
        "    tells UserCreated, user.told\n"
        "  Handled → Logged() → Validated(print) → handled\n"
        "  'by-name' → <lambda>"
    )
    drawn = graph.mermaid().splitlines()
    assert drawn[0] == "flowchart LR"
    assert '  n0(["Orphan"])' in drawn
    assert '  n2[("Users")]' in drawn
    assert "  n1 -.-> n2" in drawn
    assert "  n1 ==> n4" in drawn
    assert graph == commands.graph()
