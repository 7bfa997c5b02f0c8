"""What runs around handlers: in order, once compiled, refused where it cannot work."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import anyio
import msgspec
import pydantic
import pytest

from penstock import (
    Cache,
    Command,
    CommandBus,
    Deadline,
    Policy,
    Query,
    QueryBus,
    Retry,
    Timeout,
    metrics,
    tracing,
)
from penstock.cqrs import Logged, Measured, Traced, Validated
from penstock.errors import Misuse
from penstock.resilience import DeadlineExceeded


@dataclass(frozen=True)
class Create(Command[str]):
    name: str


@dataclass(frozen=True)
class Remove(Command[str]):
    name: str


@pytest.fixture
def commands() -> CommandBus:
    bus = CommandBus("users")

    @bus.handles
    async def create(command: Create) -> str:
        return command.name

    @bus.handles
    async def remove(command: Remove) -> str:
        raise LookupError(command.name)

    return bus


def noting(seen: list[str], name: str):
    async def behaviour(message, next):
        seen.append(f"{name} >")
        try:
            return f"{name}({await next(message)})"
        finally:
            seen.append(f"< {name}")

    return behaviour


async def test_they_run_in_the_order_of_use_outermost_first(commands: CommandBus):
    seen: list[str] = []
    commands.use(noting(seen, "a"), noting(seen, "b")).use(noting(seen, "c"), only=Create)
    assert await commands.execute(Create("Ada")) == "a(b(c(Ada)))"
    assert seen == ["a >", "b >", "c >", "< c", "< b", "< a"]
    seen.clear()
    with pytest.raises(LookupError):
        await commands.execute(Remove("Ada"))
    assert seen == ["a >", "b >", "< b", "< a"]


async def test_those_registered_later_get_them_too(commands: CommandBus):
    seen: list[str] = []

    class Later(Command[str]): ...

    commands.use(noting(seen, "a"), only=(Later, "by-name"))

    @commands.handles
    async def later(command: Later) -> str:
        return "later"

    @commands.handler("by-name")
    async def named(data: str) -> str:
        return data

    assert await commands.execute(Later()) == "a(later)"
    assert await commands.execute("by-name", "x") == "a(x)"
    assert await commands.execute(Create("Ada")) == "Ada"


async def test_a_base_stands_for_all_below_it(commands: CommandBus):
    class Audited(Command[str]): ...

    class Pay(Audited): ...

    @commands.handles
    async def pay(command: Pay) -> str:
        return "paid"

    commands.use(noting([], "audit"), only=Audited)
    assert await commands.execute(Pay()) == "audit(paid)"
    assert await commands.execute(Create("Ada")) == "Ada"


async def test_a_behaviour_may_answer_itself_or_send_on_another_message(commands: CommandBus):
    async def behaviour(message, next):
        if message.name == "cached":
            return "from memory"
        return await next(Create(message.name.upper()))

    commands.use(behaviour, only=Create)
    assert await commands.execute(Create("cached")) == "from memory"
    assert await commands.execute(Create("ada")) == "ADA"


async def test_wrap_is_called_once_for_each_kind_and_not_for_each_call(commands: CommandBus):
    wrapped = []

    class Wrapping:
        def wrap(self, handler, next):
            wrapped.append(handler.kind)
            return next

    commands.use(Wrapping())
    for _ in range(3):
        await commands.execute(Create("Ada"))
    assert wrapped == [Create, Remove]


async def test_cancellation_passes_through_all_of_them(commands: CommandBus):
    class Hang(Command[str]): ...

    seen: list[str] = []

    @commands.handles
    async def hang(command: Hang) -> str:
        await anyio.sleep_forever()
        return ""

    commands.use(noting(seen, "a"), Logged(), Traced(), Measured(metrics.Metrics()), Validated())
    with anyio.move_on_after(0.01) as scope:
        await commands.execute(Hang())
    assert scope.cancelled_caught
    assert seen == ["a >", "< a"]


async def test_what_is_no_behaviour_is_refused_and_nothing_changes(commands: CommandBus):
    def plain(message, next):
        return next(message)

    async def one(message): ...

    class Refusing:
        def wrap(self, handler, next):
            if handler.kind is Remove:
                raise Misuse("Remove will not do", hint="another")
            return noting([], "x")

    for wrong, match in (
        (7, "cannot be called|is not async"),
        (plain, "plain is not async"),
        (one, "one does not take a message and the next step"),
        (Traced, "the class Traced was given"),
        (Refusing(), "Remove will not do"),
    ):
        with pytest.raises(Misuse, match=match) as caught:
            commands.use(noting([], "y"), wrong)
        assert caught.value.hint
    with pytest.raises(Misuse, match="only=7 is no message"):
        commands.use(noting([], "y"), only=(7,))
    assert await commands.execute(Create("Ada")) == "Ada"
    commands.register("later", lambda data: data)
    assert [route.behaviours for route in commands.graph().routes] == [(), (), ()]


async def test_a_policy_and_a_strategy_are_behaviours(commands: CommandBus):
    calls = []

    class Flaky(Command[int]): ...

    class Slow(Command[int]): ...

    @commands.handles
    async def flaky(command: Flaky) -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return len(calls)

    @commands.handles
    async def slow(command: Slow) -> int:
        await anyio.sleep_forever()
        return 0

    commands.use(Policy("users", Retry(attempts=3, delay=0.0), Timeout(5.0)), only=Flaky)
    commands.use(Deadline(0.01), only=Slow)
    assert await commands.execute(Flaky()) == 3
    with pytest.raises(DeadlineExceeded):
        await commands.execute(Slow())


class Strict(Command[str], msgspec.Struct):
    number: int


class Model(pydantic.BaseModel, Command[str]):
    number: int


@dataclass
class Data(Command[str]):
    number: int


@pytest.mark.parametrize("kind", [Strict, Model, Data])
async def test_messages_are_validated_by_their_own_rules(kind):
    commands = CommandBus("users").use(Validated())
    commands.register(kind, lambda message: str(message.number), inline=True)
    wrong = Model.model_construct(number="x") if kind is Model else kind("x")
    right = kind(number=1)
    assert await commands.execute(right) == "1"
    with pytest.raises((msgspec.ValidationError, pydantic.ValidationError), match=r"number|int"):
        await commands.execute(wrong)


async def test_messages_are_validated_by_a_function(commands: CommandBus):
    def check(message) -> None:
        if not message.name:
            raise ValueError("no name")

    async def check_later(message) -> None:
        await anyio.lowlevel.checkpoint()
        if message.name == "root":
            raise PermissionError

    commands.use(Validated(check), Validated(check_later))
    assert await commands.execute(Create("Ada")) == "Ada"
    with pytest.raises(ValueError, match="no name"):
        await commands.execute(Create(""))
    with pytest.raises(PermissionError):
        await commands.execute(Create("root"))
    with pytest.raises(Misuse):
        Validated(7)


async def test_lines_spans_and_measurements(commands: CommandBus, caplog):
    registry = metrics.Metrics()
    tracer = tracing.Tracer("test", store=tracing.SpanStore())
    commands.use(Logged(), Traced(tracer), Measured(registry))
    with caplog.at_level(logging.INFO, "penstock.cqrs"):
        await commands.execute(Create("secret"))
        with pytest.raises(LookupError):
            await commands.execute(Remove("gone"))
    first, second = [(each.levelname, each.getMessage()) for each in caplog.records]
    assert first[0] == "INFO"
    assert first[1].startswith("Create: done in ")
    assert second[0] == "WARNING"
    assert "Remove: failed after" in second[1]
    assert "LookupError: gone" in second[1]
    assert "secret" not in caplog.text
    names = [span.name for trace in tracer.traces() for span in trace.spans]
    assert names == ["Create", "Remove"]
    snapshot = registry.snapshot()
    assert snapshot["Create"].count == 1
    assert snapshot["Remove"].error_rate == 1.0


async def test_a_cache_strategy_answers_queries(commands: CommandBus):
    @dataclass(frozen=True)
    class Get(Query[int]):
        number: int

    asked = []
    queries = QueryBus("users").use(Policy("q", Cache(60.0)))

    @queries.handles
    async def get(query: Get) -> int:
        asked.append(query.number)
        return query.number

    assert [await queries.execute(Get(1)) for _ in range(3)] == [1, 1, 1]
    assert asked == [1]
