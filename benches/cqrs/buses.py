"""One message and its handler, as each library has them; and calls of it on one loop.

The peers make a handler object for each message, from a container. Where a row is about the bus
alone their container is the least that their protocol allows: it calls the class.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap, Work
from benches.loops import kept
from benches.refusal import WrongAnswer

Make = Callable[[], tuple[Callable[[Any], Awaitable[Any]], Any]]
"""Gives what sends a message, and a message that is answered with its `number`, 1."""

FLOOR = "floor: the handler awaited by itself"


@contextmanager
def sent(make: Make) -> Iterator[Work]:
    """One message after the other, each awaited; the answers are added up."""
    with kept("asyncio") as run:
        run_any: Any = run

        async def begin() -> Any:
            return make()  # in the loop, which some want to see

        send, message = run_any(begin)

        async def lap(n: int) -> Lap:
            total = 0
            started = perf_counter_ns()
            for _ in range(n):
                total += await send(message)
            return Lap.since(started, total)

        yield lambda n: run(partial(lap, n))


def contender(name: str, settings: str, make: Make, package: str | None = "") -> Contender:
    """A contender whose distribution is named like it, if no other is given."""
    return Contender(name, settings, partial(sent, make), name if package == "" else package)


def all_answered(n: int, total: Any) -> bool:
    return bool(total == n)


def expect(is_right: bool, otherwise: str) -> None:
    if not is_right:
        raise WrongAnswer(otherwise)


@dataclass(frozen=True, slots=True)
class Bare:
    number: int


async def bare_handler(message: Bare) -> int:
    return message.number


def bare() -> tuple[Any, Any]:
    return bare_handler, Bare(1)


# --- python-cqrs ----------------------------------------------------------------------------


class Calling:
    """A container of either library that calls the class."""

    external_container = None

    def attach_external_container(self, container: Any) -> None:
        pass

    async def resolve(self, kind: Any) -> Any:
        return kind()


def python_cqrs(
    *middlewares: Any, container: Any = None, handler: Any = None, **options: Any
) -> tuple[Any, Any]:
    import cqrs
    from cqrs.middlewares.base import MiddlewareChain

    @dataclass
    class Create(cqrs.DCRequest[int]):
        number: int

    class Handler(cqrs.RequestHandler[Create, int]):
        @property
        def events(self) -> list[Any]:
            return []

        async def handle(self, request: Create) -> int:
            return request.number

    mapped = cqrs.RequestMap()
    mapped.bind(Create, handler or Handler)
    chain = MiddlewareChain()
    for each in middlewares:
        chain.add(each)
    mediator = cqrs.RequestMediator(mapped, container or Calling(), None, chain, **options)
    return mediator.send, Create(number=1)


def python_cqrs_as_documented() -> tuple[Any, Any]:
    """With what `bootstrap` adds: a middleware that logs, below the level that is written."""
    import cqrs
    import di
    from cqrs.bootstrap.requests import bootstrap

    @dataclass
    class Answer(cqrs.DCResponse):
        number: int

        def __radd__(self, total: int) -> int:
            return total + self.number

    @dataclass
    class Create(cqrs.DCRequest[Answer]):
        number: int

    class Handler(cqrs.RequestHandler[Create, Answer]):
        @property
        def events(self) -> list[Any]:
            return []

        async def handle(self, request: Create) -> Answer:
            return Answer(request.number)

    def commands(mapped: Any) -> None:
        mapped.bind(Create, Handler)

    return bootstrap(di.Container(), commands_mapper=commands).send, Create(number=1)


# --- diator ---------------------------------------------------------------------------------


def diator(*middlewares: Any, container: Any = None) -> tuple[Any, Any]:
    from diator.mediator import Mediator
    from diator.middlewares import MiddlewareChain
    from diator.requests import Request, RequestMap

    @dataclass(frozen=True, kw_only=True)
    class Create(Request):
        number: int

    class Handler:
        def __init__(self) -> None:
            self.events: list[Any] = []

        async def handle(self, request: Create) -> Any:
            return request.number

    mapped = RequestMap()
    mapped.bind(Create, Handler)
    chain = MiddlewareChain()
    for each in middlewares:
        chain.add(each)
    container = Calling() if container is None else container(Handler)
    mediator = Mediator(mapped, container, None, chain)
    return mediator.send, Create(number=1)


def diator_with_di() -> tuple[Any, Any]:
    from di import Container, bind_by_type
    from di.dependent import Dependent
    from diator.container.di import DIContainer

    def made(kind: Any) -> Any:
        inner = Container()
        inner.bind(bind_by_type(Dependent(kind, scope="request"), kind))
        container = DIContainer()
        container.attach_external_container(inner)
        return container

    return diator(container=made)
