"""Threads use a bus through a loop of their own."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import anyio
import pytest

from penstock import Command, CommandBus, Query, QueryBus
from penstock.errors import Closed, Misuse


@dataclass(frozen=True)
class Double(Command[int]):
    number: int


@dataclass(frozen=True)
class Get(Query[str]):
    name: str


@pytest.fixture
def commands() -> CommandBus:
    bus = CommandBus("numbers")

    @bus.handles
    async def double(command: Double) -> int:
        await anyio.lowlevel.checkpoint()
        return command.number * 2

    bus.register("triple", lambda number: number * 3)
    return bus


def test_threads_share_a_view(commands: CommandBus):
    results = []
    with commands.sync as blocking:
        threads = [
            threading.Thread(target=lambda n=n: results.append(blocking.execute(Double(n))))
            for n in range(8)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert blocking.execute("triple", 3) == 9
    assert sorted(results) == [0, 2, 4, 6, 8, 10, 12, 14]
    with pytest.raises(Closed, match="is not open"):
        blocking.execute(Double(1))


def test_queries_too():
    queries = QueryBus("users")

    @queries.handles
    async def get(query: Get) -> str:
        return query.name

    with queries.sync as blocking:
        assert blocking.execute(Get("Ada")) == "Ada"


async def test_not_on_a_loops_thread(commands: CommandBus):
    view = commands.sync
    with pytest.raises(Misuse, match="would stop the loop"):
        view.__enter__()
