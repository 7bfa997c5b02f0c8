"""Only what is certain is told of an answer's type; the rest is for type checkers."""

from __future__ import annotations

from typing import Protocol, TypedDict

from penstock import Query, QueryBus


class Row(TypedDict):
    number: int


class Shape(Protocol):
    def area(self) -> float: ...


class Square:
    def area(self) -> float:
        return 1.0


class Asked(Query[str]):
    pass


class GetRow(Query[Row]):
    pass


class GetShape(Query[Shape]):
    pass


class GetFloat(Query[float]):
    pass


def test_answers_that_cannot_be_looked_at_are_left_to_type_checkers():
    queries = QueryBus("rows")

    @queries.handles
    async def row(query: GetRow) -> Row:
        return {"number": 1}

    @queries.handles
    async def shape(query: GetShape) -> Square:
        return Square()

    @queries.handles
    async def number(query: GetFloat) -> int:
        return 1

    async def by_protocol(query: Shape) -> str:
        return ""

    queries.register(Asked, by_protocol)
    queries.validate(packages="nothing")
