"""A command that meets itself in its own chain is refused, at its second turn and not its last."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from penstock import Command, CommandBus, Query, QueryBus
from penstock.errors import Misuse


class First(Command[int]): ...


class Second(Command[int]): ...


@dataclass
class Count(Command[int]):
    down: int


async def test_directly():
    commands, runs = CommandBus("users"), []

    @commands.handles
    async def first(command: First) -> int:
        runs.append(1)
        return await commands.execute(First())

    with pytest.raises(Misuse, match=r"First is sent by its own handler.*: First → First"):
        await commands.execute(First())
    assert runs == [1]  # it was not run a second time


async def test_over_others_and_over_another_bus():
    commands, queries = CommandBus("users"), QueryBus("users")

    class Ask(Query[int]): ...

    @commands.handles
    async def first(command: First) -> int:
        return await queries.execute(Ask())

    @queries.handles
    async def ask(query: Ask) -> int:
        await anyio.lowlevel.checkpoint()
        return await commands.execute(Second())

    @commands.handles
    async def second(command: Second) -> int:
        return await commands.execute(First())

    with pytest.raises(Misuse, match="First → Ask → Second → First"):
        await commands.execute(First())


async def test_in_child_tasks_and_threads():
    commands, found = CommandBus("users"), []

    async def again() -> None:
        with pytest.raises(Misuse, match="First → First"):
            await commands.execute(First())
        found.append("task")

    @commands.handles
    async def first(command: First) -> int:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(again)
        return await commands.execute(Second())

    @commands.handler(Second)
    def second(command: Second) -> int:
        with commands.sync as blocking, pytest.raises(Misuse, match="Second → First"):
            blocking.execute(First())
        found.append("thread")
        return 7

    assert await commands.execute(First()) == 7
    assert found == ["task", "thread"]


async def test_one_that_gets_smaller_may_if_it_says_so():
    commands = CommandBus("users")

    async def count(command: Count) -> int:
        return 0 if not command.down else 1 + await commands.execute(Count(command.down - 1))

    commands.register(Count, count, reentrant=True)
    assert await commands.execute(Count(5)) == 5


async def test_one_after_the_other_is_no_circle():
    commands = CommandBus("users")

    @commands.handles
    async def first(command: First) -> int:
        return await commands.execute(Second()) + await commands.execute(Second())

    @commands.handles
    async def second(command: Second) -> int:
        return 1

    assert await commands.execute(First()) == 2
    assert await commands.execute(Second()) == 1
    assert await commands.execute(First()) == 2


async def test_side_by_side_is_no_circle():
    commands, inside = CommandBus("users"), anyio.Event()
    both = []

    @commands.handles
    async def first(command: First) -> int:
        both.append(1)
        if len(both) == 2:
            inside.set()
        await inside.wait()
        return 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commands.execute, First())
        tasks.start_soon(commands.execute, First())
    assert len(both) == 2


async def test_a_task_that_outlives_its_command_may_send_it_again():
    commands, over, results = CommandBus("users"), anyio.Event(), []

    async def later() -> None:
        await over.wait()
        results.append(await commands.execute(First()))

    @commands.handles
    async def first(command: First) -> int:
        if not results and not over.is_set():
            tasks.start_soon(later)
        return 1

    async with anyio.create_task_group() as tasks:
        await commands.execute(First())
        over.set()
    assert results == [1]


async def test_a_failure_or_a_cancellation_leaves_no_link_behind():
    commands = CommandBus("users")
    fail = True

    @commands.handles
    async def first(command: First) -> int:
        if fail:
            raise LookupError
        return 1

    @commands.handles
    async def second(command: Second) -> int:
        await anyio.sleep_forever()
        return 1

    with pytest.raises(LookupError):
        await commands.execute(First())
    fail = False
    assert await commands.execute(First()) == 1
    for _ in range(2):
        with anyio.move_on_after(0.001):
            await commands.execute(Second())


async def test_what_was_over_holds_on_to_nothing():
    """One link stays in a task's context, however much was sent in it."""
    from penstock.cqrs import chain

    commands = CommandBus("users")

    @commands.handles
    async def first(command: First) -> int:
        for _ in range(10):
            await commands.execute(Second())
        return 1

    @commands.handles
    async def second(command: Second) -> int:
        return 1

    for _ in range(10):
        await commands.execute(First())
    link, length = chain._chain.get(), 0
    while link is not None:
        length, link = length + 1, link[1]
    assert length <= 2
