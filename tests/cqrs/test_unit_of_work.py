"""Rows and events together or not at all: on success, failure, cancellation, misuse."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import types
from contextlib import asynccontextmanager

import anyio
import pytest

from penstock import Command, CommandBus, Relay, Saga, SagaStore
from penstock.cqrs import (
    DriverUnits,
    EventLog,
    Idempotent,
    Logged,
    Misfits,
    Sqlite,
    StoreUnits,
    Transactional,
    UnitOfWork,
)
from penstock.errors import Closed, Misuse

from .conftest import Bank, Open, Opened, open_account


class Other(Command[int]): ...


async def test_both_are_committed(bank: Bank):
    bank.commands.use(bank.transactional)
    bank.commands.register(Open, open_account)
    assert await bank.commands.execute(Open(1, 100)) == 1
    assert bank.rows() == [(1, 100)]
    assert (bank.outgoing(), bank.logged()) == (1, [1])
    published = []

    async def publish(event) -> None:
        published.append((event.topic, event.key, event.data, event.headers["penstock-log"]))

    async with Relay(bank.outbox, f"sqlite:///{bank.path}", publish) as relay:
        while (await relay.statistics()).backlog:  # each asks the file
            await anyio.lowlevel.checkpoint()
    assert published == [("account.opened", "1", {"number": 1, "amount": 100}, "bank:1")]


async def test_neither_is_when_it_fails_or_is_cancelled(bank: Bank):
    @bank.commands.handler(Open)
    async def open_it(command: Open, unit: UnitOfWork) -> int:
        await open_account(command, unit)
        if command.amount < 0:
            raise LookupError("no such money")
        await anyio.sleep_forever()
        return 0

    bank.commands.use(bank.transactional)
    with pytest.raises(LookupError):
        await bank.commands.execute(Open(1, -1))
    with anyio.move_on_after(0.05) as scope:
        await bank.commands.execute(Open(2))
    assert scope.cancelled_caught
    assert (bank.rows(), bank.outgoing(), bank.logged()) == ([], 0, [])
    bank.connection.execute("BEGIN IMMEDIATE")  # nobody holds the lock any more
    bank.connection.rollback()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_tasks_own_cancel_rolls_back_before_it_goes_on(bank: Bank):
    begun = asyncio.Event()

    @bank.commands.handler(Open)
    async def open_it(command: Open, unit: UnitOfWork) -> int:
        await open_account(command, unit)
        begun.set()
        await unit.run(slow)
        return 0

    go = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        go.wait(10)
        connection.execute("INSERT INTO account VALUES (99, 0)")

    bank.commands.use(bank.transactional)
    task = asyncio.create_task(bank.commands.execute(Open(1)))
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()  # it waits for the statement that runs
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bank.rows() == []
    assert not bank.units._connection.in_transaction


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("in_memory", [False, True])
async def test_cancelled_during_the_commit_it_is_committed_with_all_that_is_behind(
    bank: Bank, in_memory
):
    committing, go, after, bus = threading.Event(), threading.Event(), [], Bus()

    class Slow(sqlite3.Connection):
        def commit(self) -> None:
            committing.set()
            go.wait(10)
            super().commit()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            bank.path, isolation_level=None, check_same_thread=False, factory=Slow
        )

    commands = CommandBus("bank")
    if in_memory:
        commands.use(Idempotent(lambda command: str(command.number)))
    async with Sqlite(connect, outbox=bank.outbox) as units:
        commands.use(Transactional(units, emit=bus))

        @commands.handles
        async def open_it(command: Open, unit: UnitOfWork) -> int:
            unit.after(lambda: after.append(command.number))
            return await open_account(command, unit)

        task = asyncio.create_task(commands.execute(Open(1)))
        while not committing.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        again = asyncio.create_task(commands.execute(Open(1))) if in_memory else None
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        if again is not None:  # sent again while the commit was under way
            assert await again == 1
        while not bus.told:  # noqa: ASYNC110 - told by another task
            await asyncio.sleep(0)
        assert bank.rows() == [(1, 0)]
        assert after == [1]
        if in_memory:
            assert await commands.execute(Open(1)) == 1
        assert bank.rows() == [(1, 0)]


async def test_what_failed_within_is_not_committed_by_half(bank: Bank):
    class Outer(Command[int]): ...

    bus = Bus()
    bank.commands.use(Transactional(bank.units, emit=bus))

    @bank.commands.handles
    async def inner(command: Open, unit: UnitOfWork) -> int:
        await open_account(command, unit)
        raise LookupError("in the middle")

    @bank.commands.handles
    async def outer(command: Outer, unit: UnitOfWork) -> int:
        with contextlib.suppress(LookupError):
            await bank.commands.execute(Open(99))
        return 1

    with pytest.raises(Misuse, match="Outer went on although Open, which it had sent") as got:
        await bank.commands.execute(Outer())
    assert isinstance(got.value.__cause__, LookupError)
    assert (bank.rows(), bank.outgoing(), bus.told) == ([], 0, [])


async def test_what_outlives_its_unit_is_not_committed_by_half(bank: Bank):
    class Outer(Command[int]): ...

    begun, go, failed = anyio.Event(), anyio.Event(), []
    bank.commands.use(bank.transactional)

    @bank.commands.handles
    async def inner(command: Open, unit: UnitOfWork) -> int:
        unit.connection.execute("INSERT INTO account VALUES (99, 0)")
        begun.set()
        await go.wait()
        unit.append(Opened(99, 0))
        return 1

    async def later() -> None:
        with pytest.raises(Closed):
            await bank.commands.execute(Open(99))
        failed.append(True)

    async with anyio.create_task_group() as tasks:

        @bank.commands.handles
        async def outer(command: Outer, unit: UnitOfWork) -> int:
            tasks.start_soon(later)
            await begun.wait()
            return 1

        with pytest.raises(Misuse, match="Outer has ended, and 1 of the commands it sent"):
            await bank.commands.execute(Outer())
        go.set()
    assert failed == [True]
    assert bank.rows() == []


async def test_what_fails_behind_the_commit_fails_nobody(bank: Bank, caplog):
    bus, after = Bus(), []
    bank.commands.use(Transactional(bank.units, emit=bus))

    def fails() -> None:
        raise ValueError("behind")

    @bank.commands.handles
    async def open_it(command: Open, unit: UnitOfWork) -> int:
        unit.after(fails)
        unit.after(lambda: after.append(1))
        return await open_account(command, unit)

    assert await bank.commands.execute(Open(1)) == 1
    assert (after, len(bus.told)) == ([1], 1)
    assert "Open is committed, and" in caplog.text


async def test_closing_waits_for_the_transaction_under_way(bank: Bank):
    begun, go = anyio.Event(), anyio.Event()
    units = Sqlite(bank.path)

    async def work(unit: UnitOfWork) -> None:
        unit.connection.execute("INSERT INTO account VALUES (1, 1)")
        begun.set()
        await go.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(units.transact, work)
        await begun.wait()
        with pytest.raises(Misuse, match="would stop the loop that it needs"):
            units.close()
        closing = threading.Thread(target=units.close)
        closing.start()
        go.set()
    await anyio.to_thread.run_sync(closing.join)
    assert bank.rows() == [(1, 1)]
    with pytest.raises(Closed):
        await units.transact(work)
    units.close()


async def test_what_a_command_sends_is_in_its_unit(bank: Bank):
    class Both(Command[int]): ...

    bank.commands.use(bank.transactional)
    bank.commands.register(Open, open_account)

    @bank.commands.handles
    async def both(command: Both, unit: UnitOfWork) -> int:
        await bank.commands.execute(Open(1))
        await bank.commands.execute(Open(2))
        raise LookupError

    with pytest.raises(LookupError):
        await bank.commands.execute(Both())
    assert (bank.rows(), bank.logged()) == ([], [])


async def test_many_at_once_take_turns(bank: Bank):
    bank.commands.use(bank.transactional)
    bank.commands.register(Open, open_account)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(bank.commands.execute, Open(number))
    assert len(bank.rows()) == 50
    assert bank.logged() == list(range(1, 51))


async def test_threads_and_classes_get_it_too(bank: Bank):
    class Plain(Command[int]): ...

    bank.commands.use(bank.transactional)

    @bank.commands.handler(Plain)
    def plain(command: Plain, unit: UnitOfWork) -> int:
        unit.connection.execute("INSERT INTO account VALUES (1, 1)")
        unit.publish("opened", {"n": 1}, key="1")
        return threading.get_ident()

    @bank.commands.handler(Open)
    class Handler:
        def __init__(self, unit: UnitOfWork[sqlite3.Connection]) -> None:
            self.unit = unit

        async def handle(self, command: Open) -> int:
            return await open_account(command, self.unit)

    assert await bank.commands.execute(Plain()) != threading.get_ident()
    await bank.commands.execute(Open(2))
    assert len(bank.rows()) == 2
    assert bank.outgoing() == 2


async def test_what_handlers_may_not_do(bank: Bank):
    kept: list[UnitOfWork] = []
    wrong = None

    @bank.commands.handler(Open)
    async def misuse(command: Open, unit: UnitOfWork) -> int:
        kept.append(unit)
        await wrong(unit)
        return 1

    bank.commands.use(bank.transactional)

    async def commits(unit: UnitOfWork) -> None:
        unit.connection.execute("COMMIT")

    async def names_nothing(unit: UnitOfWork) -> None:
        unit.publish("", {})

    async def appends_text(unit: UnitOfWork) -> None:
        unit.append("opened")

    async def cannot_be_encoded(unit: UnitOfWork) -> None:
        unit.publish("opened", object())

    async def begins_another(unit: UnitOfWork) -> None:
        await bank.units.transact(commits)

    for wrong, match in (  # noqa: B007 - the handler reads it
        (commits, "has ended the transaction itself"),
        (names_nothing, "the topic is no name"),
        (appends_text, "does not say what happened"),
        (cannot_be_encoded, "cannot be encoded"),
        (begins_another, "would wait for it for ever"),
    ):
        with pytest.raises(Misuse, match=match) as caught:
            await bank.commands.execute(Open(1))
        assert caught.value.hint
    with pytest.raises(Closed, match="the unit of work is over"):
        _ = kept[0].connection
    with pytest.raises(Closed, match="the unit of work is over"):
        kept[0].publish("late", {})
    assert bank.outgoing() == 0


async def test_without_one_it_is_said(bank: Bank):
    bank.commands.register(Open, open_account)
    with pytest.raises(Misuse, match="open_account wants a unit of work; nothing opens one for Op"):
        await bank.commands.execute(Open(1))
    with pytest.raises(Misfits, match="open_account wants unit: UnitOfWork, and nothing opens one"):
        bank.commands.validate(packages="nothing")
    bank.commands.use(bank.transactional)
    bank.commands.validate(packages="nothing")


async def test_without_an_outbox_events_are_refused(bank: Bank):
    async with Sqlite(bank.path) as units:
        bank.commands.use(Transactional(units))
        bank.commands.register(Open, open_account)
        with pytest.raises(Misuse, match=r"event 'account.opened'.* neither an outbox nor a log"):
            await bank.commands.execute(Open(1))
    assert bank.rows() == []
    with pytest.raises(Closed):
        await bank.commands.execute(Open(1))


class Bus:
    """As an EventBus is told."""

    def __init__(self, fail: bool = False) -> None:
        self.told: list[tuple[object, ...]] = []
        self.fail = fail

    async def emit(self, event: object, data: object = None, /) -> None:
        if self.fail:
            raise LookupError("no bus today")
        self.told.append((event, data))


async def test_an_event_bus_is_told_after_the_commit_and_of_nothing_else(bank: Bank, caplog):
    bus, seen = Bus(), []

    class Both(Command[int]): ...

    class Telling(Bus):
        async def emit(self, event: object, data: object = None, /) -> None:
            seen.append(len(bank.rows()))
            await bus.emit(event, data)

    bank.commands.use(Transactional(bank.units, emit=Telling()))

    @bank.commands.handles
    async def both(command: Both, unit: UnitOfWork) -> int:
        unit.publish("by.name", {"n": 1})
        await bank.commands.execute(Open(7))
        return 1

    bank.commands.register(Open, open_account)
    await bank.commands.execute(Both())
    assert bus.told == [("by.name", {"n": 1}), (Opened(7, 0), None)]
    assert seen == [1, 1]
    with pytest.raises(sqlite3.IntegrityError):
        await bank.commands.execute(Open(7))
    assert len(bus.told) == 2


async def test_an_event_bus_that_fails_fails_nobody(bank: Bank, caplog):
    bank.commands.use(Transactional(bank.units, emit=Bus(fail=True)))
    bank.commands.register(Open, open_account)
    assert await bank.commands.execute(Open(1)) == 1
    assert "Open is committed, and the event 'account.opened' could not be told" in caplog.text


async def test_a_saga_stores_group_commit(bank: Bank):
    """Fifty commands share commits; one that waits, or fails, is out and alone."""
    log = EventLog("bank")
    saga: Saga = Saga("nothing")
    saga.add_step("one", lambda _: None)
    async with SagaStore.open(f"sqlite:///{bank.path}", sagas=[saga]) as store:
        bank.commands.use(Transactional(StoreUnits(store, outbox=bank.outbox, log=log)), Logged())

        @bank.commands.handler(Open)
        def open_it(command: Open, unit: UnitOfWork) -> int:
            unit.connection.execute("INSERT INTO account VALUES (?, 0)", (command.number,))
            unit.append(Opened(command.number, 0))
            if command.number == 13:
                raise LookupError
            return command.number

        @bank.commands.handler(Other)
        async def waits(command: Other, unit: UnitOfWork) -> int:
            unit.connection.execute("INSERT INTO account VALUES (1000, 0)")
            await waiting()
            return 1

        failed = []

        async def send(number: int) -> None:
            try:
                assert await bank.commands.execute(Open(number)) == number
            except LookupError:
                failed.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(send, number)
        assert failed == [13]

        @types.coroutine
        def turn():
            yield

        waiting = turn
        with pytest.raises(Misuse, match="the handler waits for something"):
            await bank.commands.execute(Other())
        waiting = anyio.sleep_forever
        with pytest.raises(RuntimeError) as caught:
            await bank.commands.execute(Other())
        assert "plain function of SQL only" in caught.value.__notes__[0]
    assert [row[0] for row in bank.rows()] == [n for n in range(50) if n != 13]
    assert len(bank.logged()) == bank.outgoing() == 49


async def test_an_asynchronous_driver():
    said: list[object] = []

    class Connection:
        async def execute(self, text: str) -> None:
            await anyio.lowlevel.checkpoint()
            said.append(text)

    @asynccontextmanager
    async def begin():
        said.append("begin")
        try:
            yield Connection()
        except BaseException:
            said.append("rollback")
            raise
        said.append("commit")

    async def write(connection: Connection, events) -> None:
        await connection.execute(f"outbox {[(each.topic, each.key) for each in events]}")

    commands = CommandBus("bank").use(Transactional(DriverUnits(begin, write)))
    fail = False

    @commands.handler(Open)
    async def open_it(command: Open, unit: UnitOfWork[Connection]) -> int:
        await unit.connection.execute("insert")
        unit.append(Opened(1, 0))
        if fail:
            raise LookupError
        return 1

    assert await commands.execute(Open(1)) == 1
    assert said == ["begin", "insert", "outbox [('account.opened', '1')]", "commit"]
    fail = True
    said.clear()
    with pytest.raises(LookupError):
        await commands.execute(Open(1))
    assert said == ["begin", "insert", "rollback"]
    with pytest.raises(Misuse, match="no async context manager"):
        await DriverUnits(lambda: 7).transact(write)


async def test_a_connection_that_only_one_thread_may_use_is_refused(bank: Bank):
    async with Sqlite(lambda: sqlite3.connect(bank.path)) as units:
        bank.commands.use(Transactional(units))
        bank.commands.register(Open, open_account)
        with pytest.raises(Misuse, match="cannot be used by several threads") as caught:
            await bank.commands.execute(Open(1))
        assert "check_same_thread=False" in caught.value.hint


def test_arguments_that_cannot_work():
    for wrong, match in (
        (lambda: Sqlite(7), "no file"),
        (lambda: Sqlite(":memory:"), "this is no path"),
        (lambda: Sqlite("x.db", outbox="orders"), "outbox='orders'"),
        (lambda: Sqlite("x.db", log="orders"), "log='orders'"),
        (lambda: Sqlite("x.db", timeout=-1), "timeout=-1"),
        (lambda: EventLog("a:b"), "'a:b'"),
        (lambda: Transactional(object()), "opens no units of work"),
        (lambda: Transactional(DriverUnits(list), emit=7), "has no emit"),
        (lambda: StoreUnits(object()), "has no transact"),
        (lambda: DriverUnits(7), "begin=7"),
    ):
        with pytest.raises(Misuse, match=match):
            wrong()
