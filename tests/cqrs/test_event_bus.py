"""A real event bus hears of what is committed, and wakes a projection that follows."""

from __future__ import annotations

import pytest

from penstock import Command, EventBus
from penstock.cqrs import Transactional, UnitOfWork
from penstock.errors import Misuse

from .conftest import Bank, Open, Opened, open_account
from .test_projection import rows, totals


class Again(Command[int]): ...


async def test_handlers_hear_of_objects_and_topics_once_they_are_committed(bank: Bank):
    heard: list[object] = []
    async with EventBus("bank") as bus:

        @bus.on(Opened)
        async def opened(event: Opened) -> None:
            heard.append((event, bank.rows()))

        @bus.on("note.taken")
        async def noted(data: object) -> None:
            heard.append(data)
            raise LookupError("a handler that fails is nobody's failure")

        bank.commands.use(Transactional(bank.units, emit=bus))
        bank.commands.register(Open, open_account)

        @bank.commands.handles
        async def again(command: Again, unit: UnitOfWork) -> int:
            unit.publish("note.taken", {"n": 1})
            raise_it = unit.connection.execute("SELECT count(*) FROM account").fetchone()[0] > 1
            if raise_it:
                raise LookupError
            return 1

        await bank.commands.execute(Open(1, 10))
        assert heard == [(Opened(1, 10), [(1, 10)])]
        assert await bank.commands.execute(Again()) == 1
        assert heard[1:] == [{"n": 1}]
        await bank.commands.execute(Open(2, 10))
        with pytest.raises(LookupError):
            await bank.commands.execute(Again())
        assert len(heard) == 3


async def test_a_projection_catches_up_when_it_is_told(bank: Bank):
    projection = totals(bank, bank.units)
    projection.create_tables(bank.connection)
    async with EventBus("bank") as bus:
        bus.on(Opened, projection.notify)
        bank.commands.use(Transactional(bank.units, emit=bus))
        bank.commands.register(Open, open_account)
        for number in range(5):
            await bank.commands.execute(Open(number, number))
            assert len(rows(bank)) == number + 1


async def test_a_handler_of_an_event_that_sends_its_command_again_is_found_out(bank: Bank):
    found: list[str] = []
    async with EventBus("bank") as bus:

        @bus.on(Opened)
        async def opened(event: Opened) -> None:
            with pytest.raises(Misuse, match="Open is sent by its own handler") as caught:
                await bank.commands.execute(Open(event.number + 1))
            found.append(str(caught.value))

        bank.commands.use(Transactional(bank.units, emit=bus))
        bank.commands.register(Open, open_account)
        await bank.commands.execute(Open(1))
    assert len(found) == 1
    assert bank.rows() == [(1, 0)]
