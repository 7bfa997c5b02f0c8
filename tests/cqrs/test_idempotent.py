"""A command that comes twice happens once, in memory and in the table of its rows."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from penstock import Command, CommandBus
from penstock.cqrs import Answers, Idempotent, Transactional, UnitOfWork
from penstock.errors import Conflict, Misuse
from penstock.testing import FakeClock

from .conftest import Bank


@dataclass(frozen=True)
class Receipt:
    number: int


@dataclass(frozen=True)
class Pay(Command[Receipt]):
    key: str | None
    amount: int


def key_of(command: Pay) -> str | None:
    return command.key


@pytest.fixture
def paid() -> list[int]:
    return []


@pytest.fixture(params=["memory", "table"])
def commands(request, bank: Bank, paid) -> CommandBus:
    commands, unit = CommandBus("bank"), Transactional(bank.units)
    if request.param == "table":
        answers = Answers("bank")
        answers.create_tables(bank.connection)
        commands.use(unit, Idempotent(key_of, answers=answers))
    else:
        commands.use(Idempotent(key_of), unit)

    @commands.handles
    async def pay(command: Pay, unit: UnitOfWork) -> Receipt:
        await anyio.lowlevel.checkpoint()
        paid.append(command.amount)
        unit.connection.execute("INSERT INTO account (amount) VALUES (?)", (command.amount,))
        if command.amount < 0:
            raise LookupError
        return Receipt(len(paid))

    return commands


async def test_the_second_is_told_what_the_first_was(commands, paid):
    assert await commands.execute(Pay("a", 5)) == Receipt(1)
    assert await commands.execute(Pay("a", 5)) == Receipt(1)
    assert await commands.execute(Pay("b", 5)) == Receipt(2)
    assert await commands.execute(Pay(None, 5)) == Receipt(3)
    assert await commands.execute(Pay(None, 5)) == Receipt(4)
    assert len(paid) == 4


async def test_another_command_under_the_same_key_is_a_conflict(commands, paid):
    await commands.execute(Pay("a", 5))
    with pytest.raises(Conflict, match="Pay: the key 'a' was used for another message"):
        await commands.execute(Pay("a", 6))
    assert paid == [5]


async def test_one_that_failed_may_be_tried_again(commands, paid):
    for _ in range(2):
        with pytest.raises(LookupError):
            await commands.execute(Pay("a", -5))
    assert paid == [-5, -5]
    assert await commands.execute(Pay("a", 5)) == Receipt(3)


async def test_many_at_once_happen_once(commands, paid):
    answers = []

    async def send() -> None:
        answers.append(await commands.execute(Pay("a", 5)))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(send)
    assert answers == [Receipt(1)] * 10
    assert paid == [5]


async def test_a_key_is_a_text(commands):
    for key in ("", 7):
        with pytest.raises(Misuse, match=f"the key of Pay is {key!r}"):
            await commands.execute(Pay(key, 5))


async def test_in_memory_they_are_kept_for_a_time(paid):
    with FakeClock() as clock:
        commands = CommandBus("bank").use(Idempotent(key_of, ttl=10.0))

        @commands.handles
        async def pay(command: Pay) -> Receipt:
            paid.append(1)
            return Receipt(len(paid))

        await commands.execute(Pay("a", 5))
        clock.advance(10.1)
        assert await commands.execute(Pay("a", 5)) == Receipt(2)


async def test_in_memory_it_stands_outside_of_what_may_be_rolled_back(bank: Bank):
    commands = CommandBus("bank").use(Transactional(bank.units), Idempotent(key_of))

    @commands.handles
    async def pay(command: Pay, unit: UnitOfWork) -> Receipt:
        return Receipt(1)

    with pytest.raises(Misuse, match="may be rolled back when its answer is remembered"):
        await commands.execute(Pay("a", 5))


async def test_in_a_table_it_needs_the_unit_of_work_and_can_be_cleared(bank: Bank, paid):
    answers = Answers("bank")
    without = CommandBus("bank").use(Idempotent(key_of, answers=answers))

    @without.handles
    async def pay(command: Pay) -> Receipt:
        return Receipt(1)

    with pytest.raises(Misuse, match="no unit of work is open for Pay") as caught:
        await without.execute(Pay("a", 5))
    assert "use(Transactional(units), Idempotent" in caught.value.hint
    commands = CommandBus("bank").use(
        Transactional(bank.units), Idempotent(key_of, answers=answers)
    )
    commands.register(Pay, pay)
    bank.connection.execute("ALTER TABLE penstock_answer RENAME TO penstock_away")
    with pytest.raises(Misuse, match=r"no tables of Answers\('bank'\)"):
        await commands.execute(Pay("a", 5))
    bank.connection.execute("ALTER TABLE penstock_away RENAME TO penstock_answer")
    answers.create_tables(bank.connection)
    await commands.execute(Pay("a", 5))
    bank.connection.execute("BEGIN IMMEDIATE")
    assert answers.forget(bank.connection, older_than=3600.0) == 0
    assert answers.forget(bank.connection, older_than=0.0) == 1
    bank.connection.execute("COMMIT")
    with pytest.raises(Misuse, match="limit=0"):
        bank.connection.execute("BEGIN IMMEDIATE")
        answers.forget(bank.connection, older_than=0.0, limit=0)
    bank.connection.rollback()
    for wrong in (
        lambda: Answers(""),
        lambda: Idempotent(7),
        lambda: Idempotent(key_of, answers=7),
    ):
        with pytest.raises(Misuse):
            wrong()


def test_messages_that_are_never_equal_are_refused():
    class Identity(Command[int]):
        key = "a"

    commands = CommandBus("bank").use(Idempotent(lambda command: command.key))
    with pytest.raises(Misuse, match="two Identity are never equal"):
        commands.register(Identity, lambda command: 1)


async def test_an_answer_that_would_be_told_otherwise_is_refused(bank: Bank):
    answers = Answers("bank")
    answers.create_tables(bank.connection)
    commands = CommandBus("bank")
    commands.use(Transactional(bank.units), Idempotent(lambda data: "a", answers=answers))
    commands.register("plain", lambda data: {"n": 1})
    commands.register("typed", lambda data: Receipt(1))
    for _ in range(2):
        assert await commands.execute("plain", {}) == {"n": 1}
    with pytest.raises(Misuse, match=r"returned Receipt\(number=1\), and who sends it again would"):
        await commands.execute("typed", {})
