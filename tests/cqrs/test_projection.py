"""A read model has each event once, in order, wherever it comes from; and can be made anew."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from types import SimpleNamespace

import anyio
import pytest

from penstock import Message, MessageQueue, Relay
from penstock.cqrs import EventLog, Projection, Sqlite, UnitOfWork, View
from penstock.errors import Conflict, Misuse

from .conftest import Bank, Open, Opened, open_account

TABLES = {"totals": "number INTEGER PRIMARY KEY, amount INTEGER NOT NULL, events INTEGER NOT NULL"}


@dataclass
class Paid:
    number: int
    amount: int


def totals(bank: Bank, units: Sqlite, *, log=None, version="1", name="totals", **options):
    made = Projection(
        name,
        bank.log if log is None else log,
        units,
        tables=TABLES,
        indexes={"totals": ["amount", "events, amount"]},
        version=version,
        **options,
    )

    @made.on(Opened)
    def opened(view: View, event: Opened) -> None:
        assert type(event) is Opened
        row = (event.number, event.amount)
        view.execute("INSERT INTO {totals} VALUES (?, ?, 1)", row)

    @made.on("paid", type=Paid)
    def paid(view: View, event: Paid) -> None:
        view.execute(
            "UPDATE {totals} SET amount = amount + ?, events = events + 1 WHERE number = ?",
            (event.amount, event.number),
        )

    return made


async def write(bank: Bank, *steps: tuple[str, int, int]) -> None:
    async def work(unit: UnitOfWork) -> None:
        for what, number, amount in steps:
            if what == "open":
                unit.append(Opened(number, amount))
            elif what == "pay":
                unit.publish("paid", {"number": number, "amount": amount}, key=str(number))
            else:
                unit.publish(what, {})

    await bank.units.transact(work)


def rows(bank: Bank) -> list[tuple[int, int, int]]:
    return bank.connection.execute("SELECT * FROM totals ORDER BY number").fetchall()


async def test_it_keeps_up_with_the_log(bank: Bank):
    projection = totals(bank, bank.units, batch=2)
    projection.create_tables(bank.connection)
    projection.create_tables(bank.connection)
    await write(bank, ("open", 1, 10), ("nobody's", 0, 0), ("pay", 1, 5), ("open", 2, 0))
    state = await projection.state()
    assert (state.position, state.last, state.lag, state.is_outdated) == (0, 4, 4, False)
    assert await projection.catch_up() == 4
    assert await projection.catch_up() == 0
    assert rows(bank) == [(1, 15, 2), (2, 0, 1)]
    await write(bank, ("pay", 2, 7))
    await projection.notify()
    assert rows(bank) == [(1, 15, 2), (2, 7, 2)]
    assert (await projection.state()).lag == 0


async def test_two_at_once_apply_each_event_once(bank: Bank):
    first, second = totals(bank, bank.units, batch=3), None
    first.create_tables(bank.connection)
    await write(bank, *[("open", number, 0) for number in range(20)])
    async with Sqlite(bank.path) as others:
        second = totals(bank, others, batch=3)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(first.catch_up)
                tasks.start_soon(second.catch_up)
    assert rows(bank) == [(number, 0, 1) for number in range(20)]


async def test_what_a_handler_raises_names_the_event_and_keeps_those_before(bank: Bank):
    projection = totals(bank, bank.units)
    projection.create_tables(bank.connection)
    await write(bank, ("open", 1, 0), ("pay", 1, 5), ("open", 1, 0), ("open", 2, 0))
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError) as caught:
            await projection.catch_up()
        assert "at event 3, 'account.opened'" in caught.value.__notes__[0]
        assert rows(bank) == [(1, 5, 2)]
    assert (await projection.state()).position == 2


async def test_it_is_rebuilt_beside_what_is_read_and_switched(bank: Bank):
    old = totals(bank, bank.units)
    old.create_tables(bank.connection)
    await write(bank, *[("open", number, 1) for number in range(10)])
    await old.catch_up()
    bank.connection.execute("UPDATE totals SET amount = 999")  # somebody has been at it
    await write(bank, ("pay", 3, 7))
    for _ in range(3):
        assert await totals(bank, bank.units, batch=4).rebuild() == 11
        assert rows(bank) == [(n, 8 if n == 3 else 1, 2 if n == 3 else 1) for n in range(10)]
    tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'totals%'"
    assert bank.connection.execute(tables).fetchone() == (3,)  # one table, two indexes
    assert (await old.state()).lag == 0
    await write(bank, ("pay", 4, 1))
    assert await old.catch_up() == 1


async def test_views_and_triggers_on_it_outlive_a_rebuild(bank: Bank):
    projection = totals(bank, bank.units)
    projection.create_tables(bank.connection)
    bank.connection.execute("PRAGMA foreign_keys = ON")
    bank.connection.execute("CREATE VIEW rich AS SELECT number FROM totals WHERE amount > 5")
    bank.connection.execute("CREATE TABLE audit (n)")
    bank.connection.execute(
        "CREATE TRIGGER seen AFTER INSERT ON account BEGIN"
        " INSERT INTO audit SELECT count(*) FROM totals; END"
    )
    await write(bank, ("open", 1, 10), ("open", 2, 1))
    for _ in range(2):
        assert await projection.rebuild() == 2
        assert bank.connection.execute("SELECT * FROM rich").fetchall() == [(1,)]
    bank.connection.execute("INSERT INTO account VALUES (1, 1)")
    assert bank.connection.execute("SELECT * FROM audit").fetchall() == [(2,)]
    with pytest.raises(Misuse, match="its tables refer to others"):
        Projection("t", bank.log, bank.units, tables={"t": "id REFERENCES account (number)"})


async def test_a_rebuild_that_is_left_changes_nothing_and_the_next_clears_up(bank: Bank):
    projection = totals(bank, bank.units, batch=1)
    projection.create_tables(bank.connection)
    await write(bank, *[("open", number, 1) for number in range(5)])
    await projection.catch_up()
    before = rows(bank)
    fail_at = 3

    broken = Projection("totals", bank.log, bank.units, tables=TABLES, batch=1)

    @broken.on(Opened)
    def opened(view: View, event: Opened) -> None:
        if event.number == fail_at:
            raise LookupError
        view.execute("INSERT INTO {totals} VALUES (?, 0, 0)", (event.number,))

    with pytest.raises(LookupError):
        await broken.rebuild()
    assert rows(bank) == before
    assert (await projection.state()).is_rebuilding
    await write(bank, ("open", 9, 1))
    await projection.catch_up()  # those who read are kept up meanwhile
    assert len(rows(bank)) == 6
    assert await projection.rebuild() == 6
    assert not (await projection.state()).is_rebuilding
    tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'totals%'"
    assert bank.connection.execute(tables).fetchone() == (1,)


async def test_two_rebuilds_at_once_are_one_too_many(bank: Bank):
    projection = totals(bank, bank.units, batch=1)
    projection.create_tables(bank.connection)
    await write(bank, *[("open", number, 1) for number in range(5)])
    ended: list[object] = []

    async def rebuild() -> None:
        try:
            ended.append(await projection.rebuild())
        except Conflict:
            ended.append("conflict")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rebuild)
        tasks.start_soon(rebuild)
    assert sorted(map(str, ended)) == ["5", "conflict"]
    assert len(rows(bank)) == 5


async def test_events_that_the_log_has_forgotten_are_missed(bank: Bank):
    projection = totals(bank, bank.units)
    projection.create_tables(bank.connection)
    await write(bank, ("open", 1, 1))
    await projection.catch_up()
    await write(bank, ("open", 2, 1), ("open", 3, 1))
    bank.connection.execute("BEGIN IMMEDIATE")
    assert bank.log.forget(bank.connection, through=2) == 2
    bank.connection.execute("COMMIT")
    with pytest.raises(Conflict, match="events 2 to 2 are gone from <EventLog 'bank'>"):
        await projection.catch_up()
    assert await projection.rebuild() == 1
    assert rows(bank) == [(3, 1, 1)]
    assert await projection.catch_up() == 0


async def test_a_logs_own_codec_reads_it(bank: Bank):
    class Lines:
        content_type = "text/plain"

        def encode(self, value: Opened) -> bytes:
            return f"{value.number} {value.amount}".encode()

        def decode(self, payload: bytes) -> Opened:
            return Opened(*map(int, payload.decode().split()))

    log = EventLog("lines", codec=Lines())
    log.create_tables(bank.connection)
    async with Sqlite(bank.path, log=log) as units:
        projection = totals(bank, units, log=log)
        projection.create_tables(bank.connection)

        async def work(unit: UnitOfWork) -> None:
            unit.append(Opened(7, 8))

        await units.transact(work)
        assert await projection.catch_up() == 1
    assert rows(bank) == [(7, 8, 1)]


async def test_another_version_has_to_be_rebuilt(bank: Bank):
    totals(bank, bank.units).create_tables(bank.connection)
    await write(bank, ("open", 1, 1))
    newer = totals(bank, bank.units, version="2")
    assert (await newer.state()).is_outdated
    with pytest.raises(Misuse, match="its tables are of version '1', and its handlers of '2'"):
        await newer.catch_up()
    with anyio.move_on_after(5) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(newer.follow)
            while (await newer.state()).position < 1:
                await anyio.lowlevel.checkpoint()
            await write(bank, ("open", 2, 1))
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert not (await newer.state()).is_outdated


async def test_in_another_file_it_reads_the_log_from_its_own(bank: Bank, tmp_path):
    path = tmp_path / "reading.db"
    connection = sqlite3.connect(path, isolation_level=None)
    async with Sqlite(path) as units:
        projection = totals(bank, units, source=lambda: sqlite3.connect(bank.path))
        projection.create_tables(connection)
        await write(bank, ("open", 1, 1))
        assert await projection.catch_up() == 1
        await write(bank, ("pay", 1, 1))
        assert (await projection.state()).lag == 1
        assert await projection.rebuild() == 2
    assert connection.execute("SELECT * FROM totals").fetchall() == [(1, 2, 2)]
    connection.close()


def sent(seq, topic, data, identity=None, *, feed="bank"):
    headers = {} if seq is None else {"penstock-log": f"{feed}:{seq}"}
    return SimpleNamespace(topic=topic, data=data, id=identity or f"id{seq}", headers=headers)


async def test_events_that_are_sent_twice_and_out_of_order_end_as_in_order(bank: Bank):
    projection = totals(bank, bank.units, log="bank")
    projection.create_tables(bank.connection)
    opened = {"number": 1, "amount": 10}
    paid = {"number": 1, "amount": 5}
    await projection.apply(sent(2, "paid", paid))
    await projection.apply(sent(3, "nobody's", {}))
    state = await projection.state()
    assert (state.position, state.last, state.lag, state.ahead) == (0, 3, 3, 2)
    assert rows(bank) == []
    await projection.apply(sent(2, "paid", paid))
    await projection.apply(sent(1, "account.opened", opened))
    assert rows(bank) == [(1, 15, 2)]
    await projection.apply(sent(1, "account.opened", opened))
    await projection.apply(sent(2, "paid", paid))
    assert rows(bank) == [(1, 15, 2)]
    state = await projection.state()
    assert (state.position, state.lag, state.ahead) == (3, 0, 0)
    with pytest.raises(Misuse, match="the log 'bank' cannot be read from here"):
        await projection.rebuild()


async def test_events_without_a_place_count_by_their_id(bank: Bank):
    projection = totals(bank, bank.units, log="elsewhere")
    projection.create_tables(bank.connection)
    for _ in range(2):
        await projection.apply(sent(None, "account.opened", {"number": 1, "amount": 1}, "a"))
        await projection.apply(sent(7, "paid", {"number": 1, "amount": 1}, "b"))
    assert rows(bank) == [(1, 2, 2)]
    for place in ("bank:x", "bank:", "bank:-1", "7", "bank:0"):
        with pytest.raises(Misuse, match="which is no place"):
            await projection.apply(
                SimpleNamespace(topic="paid", data={}, id="c", headers={"penstock-log": place})
            )
    with pytest.raises(Misuse, match="has no topic and id"):
        await projection.apply({"number": 1})


async def test_a_relay_and_a_queue_bring_them(bank: Bank, tmp_path):
    bank.commands.use(bank.transactional)
    bank.commands.register(Open, open_account)
    by_relay = totals(bank, bank.units, log="bank")
    by_relay.create_tables(bank.connection)
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    queue = MessageQueue("events", f"sqlite:///{tmp_path}/queue.db")
    url = f"sqlite:///{bank.path}"
    for number in range(20):
        await bank.commands.execute(Open(number, number))
    async with Relay(bank.outbox, url, by_relay.apply):
        while (await by_relay.state()).position < 20:
            await anyio.lowlevel.checkpoint()
    assert rows(bank) == [(number, number, 1) for number in range(20)]
    for number in range(20, 30):
        await bank.commands.execute(Open(number, number))
    async with Sqlite(tmp_path / "other.db") as units:
        by_queue = totals(bank, units, log="bank", after=20)
        by_queue.create_tables(other)

        async def handle(message: Message) -> None:
            await by_queue.apply(message)

        async with queue, Relay(bank.outbox, url, queue), queue.consumer(handle, concurrency=4):
            while (await by_queue.state()).position < 30:
                await anyio.lowlevel.checkpoint()
    found = other.execute("SELECT * FROM totals ORDER BY number").fetchall()
    assert found == [(number, number, 1) for number in range(20, 30)]
    other.close()


async def test_a_view_writes_only_to_the_projections_tables(bank: Bank):
    projection = Projection("totals", bank.log, bank.units, tables=TABLES)
    projection.create_tables(bank.connection)
    statement = ""

    @projection.on("x")
    def handle(view: View, event: object) -> None:
        view.execute(statement)

    await write(bank, ("x", 0, 0))
    for statement, match in (  # noqa: B007 - the handler reads it
        ("INSERT INTO totals VALUES (1, 1, 1)", "writes to no table of the projection"),
        ("DELETE FROM {other}", "the projection has no table 'other'"),
    ):
        with pytest.raises(Misuse, match=match):
            await projection.catch_up()


async def test_what_cannot_work_is_refused(bank: Bank):
    projection = Projection("totals", bank.log, bank.units, tables=TABLES)
    with pytest.raises(Misuse, match="this database has no tables of"):
        await projection.catch_up()

    async def later(view, event): ...

    def one(view): ...

    for wrong, match in (
        (lambda: projection.on("x")(later), "is no plain function"),
        (lambda: projection.on("x")(one), "does not take a view and an event"),
        (lambda: projection.on(7), "neither a class nor a topic"),
        (lambda: Projection("", bank.log, bank.units, tables=TABLES), "name is ''"),
        (lambda: Projection("t", None, bank.units, tables=TABLES), "log=None"),
        (lambda: Projection("t", bank.log, "x.db", tables=TABLES), "units='x.db'"),
        (lambda: Projection("t", bank.log, bank.units, tables={}), "tables={}"),
        (lambda: Projection("t", bank.log, bank.units, tables={"a b": "x"}), "no name of a table"),
        (lambda: Projection("t", bank.log, bank.units, tables=TABLES, batch=0), "batch=0"),
        (lambda: Projection("t", bank.log, bank.units, tables=TABLES, after=-1), "after=-1"),
        (lambda: Projection("t", "b", bank.units, tables=TABLES, source=list), "source= connects"),
    ):
        with pytest.raises(Misuse, match=match) as caught:
            wrong()
        assert caught.value.hint
    projection.on("x")(lambda view, event: None)
    with pytest.raises(Misuse, match="'x' has a handler already"):
        projection.on("x")(lambda view, event: None)
