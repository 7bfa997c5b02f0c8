"""What a command costs on its way to its handler, and a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benches.case import Case, Target, cost
from benches.cqrs.buses import (
    FLOOR,
    all_answered,
    bare,
    contender,
    diator,
    diator_with_di,
    python_cqrs,
    python_cqrs_as_documented,
)


def command() -> tuple[Any, Any]:
    from penstock import Command, CommandBus

    @dataclass(frozen=True, slots=True)
    class Create(Command[int]):
        number: int

    commands = CommandBus("bench")

    @commands.handles
    async def create(command: Create) -> int:
        return command.number

    commands.validate(packages="nothing")
    return commands.execute, Create(1)


def query() -> tuple[Any, Any]:
    from penstock import Query, QueryBus

    @dataclass(frozen=True, slots=True)
    class Get(Query[int]):
        number: int

    queries = QueryBus("bench")

    @queries.handles
    async def get(query: Get) -> int:
        return query.number

    return queries.execute, Get(1)


CASES = tuple(
    Case(
        room="cqrs",
        name=name,
        question=f"What does a {name} cost on its way to its handler?",
        contenders=[
            contender("penstock", "a bus with one handler, no behaviours", ours),
            contender(
                "python-cqrs", "`bootstrap` with a container of di", python_cqrs_as_documented
            ),
            contender(
                "python-cqrs, by hand",
                "`RequestMediator` without middlewares, a container that only calls the class",
                python_cqrs,
                "python-cqrs",
            ),
            contender(
                "diator", "`Mediator` with `DIContainer` of di, as documented", diator_with_di
            ),
            contender(
                "diator, by hand", "with a container that only calls the class", diator, "diator"
            ),
            contender("bare call", FLOOR, bare, None),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(25, "python-cqrs"), Target(8, "diator"), Target(0.45e-6)],
    )
    for name, ours in (("command", command), ("query", query))
)
