"""What three behaviours around a handler cost, and a dependency from a container."""

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
    expect,
    python_cqrs,
)


class Counted:
    """A middleware of either peer."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, request: Any, handle: Any) -> Any:
        self.calls += 1
        return await handle(request)


def behaviours() -> tuple[Any, Any]:
    from penstock import Command, CommandBus

    @dataclass(frozen=True, slots=True)
    class Create(Command[int]):
        number: int

    commands = CommandBus("bench")

    @commands.handles
    async def create(command: Create) -> int:
        return command.number

    counted = [0, 0, 0]

    def counting(place: int) -> Any:
        async def behaviour(message: Any, next: Any) -> Any:
            counted[place] += 1
            return await next(message)

        return behaviour

    commands.use(counting(0), counting(1), counting(2))

    async def proven(message: Any) -> Any:
        before = list(counted)
        answer = await commands.execute(message)
        expect([b + 1 for b in before] == counted, "a behaviour was left out")
        return answer

    _prove(proven, Create(1))
    return commands.execute, Create(1)


def _prove(send: Any, message: Any) -> None:
    try:
        send(message).send(None)
    except StopIteration as stop:
        expect(stop.value == 1, f"the answer was {stop.value!r}")


def cqrs_behaviours() -> tuple[Any, Any]:
    return python_cqrs(Counted(), Counted(), Counted())


def diator_behaviours() -> tuple[Any, Any]:
    return diator(Counted(), Counted(), Counted())


class Users:
    """What the handler depends on, made for each scope."""

    def __init__(self) -> None:
        self.number = 1


def _container() -> Any:
    import dishka

    provider = dishka.Provider(scope=dishka.Scope.REQUEST)
    provider.provide(Users)
    return provider, dishka


def with_dishka(*, count: int = 0) -> tuple[Any, Any]:
    from penstock import Command, CommandBus
    from penstock.cqrs import DishkaResolver

    provider, dishka = _container()
    container = dishka.make_async_container(provider, lock_factory=None)

    @dataclass(frozen=True, slots=True)
    class Create(Command[int]):
        number: int

    commands = CommandBus("bench", resolver=DishkaResolver(container))

    @commands.handles
    async def create(_: Create, users: Users) -> int:
        return users.number

    async def behaviour(message: Any, next: Any) -> Any:
        return await next(message)

    commands.use(*[behaviour] * count)
    _prove(commands.execute, Create(1))
    return commands.execute, Create(1)


def cqrs_with_dishka(*, count: int = 0) -> tuple[Any, Any]:
    import cqrs
    from cqrs.container.dishka import DishkaCQRSContainer
    from cqrs.container.scope import ScopeStrategy

    class Handler(cqrs.RequestHandler[Any, int]):
        def __init__(self, users: Users) -> None:
            self.users = users

        @property
        def events(self) -> list[Any]:
            return []

        async def handle(self, _: Any) -> int:
            return self.users.number

    Handler.__init__.__annotations__["users"] = Users
    provider, dishka = _container()
    provider.provide(Handler)
    container = DishkaCQRSContainer(dishka.make_async_container(provider, lock_factory=None))
    counted = [Counted() for _ in range(count)]
    return python_cqrs(
        *counted, container=container, handler=Handler, scope_strategy=ScopeStrategy.SEND
    )


CASES = (
    Case(
        room="cqrs",
        name="three-behaviours",
        question="What does a command cost with three behaviours around its handler?",
        contenders=[
            contender("penstock", "three async functions", behaviours),
            contender("python-cqrs", "three middlewares", cqrs_behaviours),
            contender("diator", "three middlewares", diator_behaviours),
            contender("bare call", FLOOR, bare, None),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(2e-6), Target(5, "python-cqrs"), Target(2, "diator")],
    ),
    Case(
        room="cqrs",
        name="three-behaviours-and-dishka",
        question="And with a dependency from a container's scope, made for each command?",
        contenders=[
            contender(
                "penstock", "`DishkaResolver`, three async functions", lambda: with_dishka(count=3)
            ),
            contender(
                "python-cqrs",
                "`DishkaCQRSContainer`, `ScopeStrategy.SEND`, three middlewares",
                lambda: cqrs_with_dishka(count=3),
            ),
            contender(
                "diator", "`DIContainer` of di as documented, no middlewares", diator_with_di
            ),
            contender("bare call", FLOOR, bare, None),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(6e-6), Target(2, "python-cqrs")],
        shared=["dishka"],
    ),
)
