"""Stores that fail: sagas go on when they work again, and the store says so when they do not.

The connection is one of the tests' own, handed in by who opens the file first.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest

from penstock import Saga, SagaStore, Service, saga
from penstock._durable.engines import Address
from penstock._durable.errors import OutcomeUnknown
from penstock.engines.sqlite import (
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    SchemaTooNew,
)
from penstock.errors import Closed, EngineError
from penstock.service import PartFailed
from tests.saga.pacing import when


class Faults:
    def __init__(self):
        self.commits: list[str] = []
        """What becomes of the next commits that write: "lost", or "unknown" (done, and not
        acknowledged)."""
        self.is_broken = False
        self.connections = 0
        self.cannot_open = 0

    def connect(self, path, timeout):
        self.connections += 1
        if self.cannot_open and self.connections > 1:
            self.cannot_open -= 1
            raise failure(sqlite3.SQLITE_CANTOPEN, "unable to open database file")
        connection = sqlite3.connect(path, timeout=0.05, isolation_level=None, factory=Faulty)
        connection.faults = self
        return connection


def failure(code, text):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Faulty(sqlite3.Connection):
    """Fails as it is told to."""

    faults: Faults
    writes = False

    def execute(self, sql, *arguments):
        faults = self.faults
        if faults.is_broken and sql.startswith("BEGIN IMMEDIATE"):
            raise failure(sqlite3.SQLITE_IOERR, "disk I/O error")
        if sql.startswith("BEGIN"):
            self.writes = sql == "BEGIN IMMEDIATE"
        if sql == "COMMIT" and self.writes and faults.commits:
            how = faults.commits.pop(0)
            super().execute("COMMIT" if how == "unknown" else "ROLLBACK")
            raise failure(sqlite3.SQLITE_IOERR, "disk I/O error")
        return super().execute(sql, *arguments)


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def opened(file, faults):
    @asynccontextmanager
    async def opened(*sagas, **options):
        engine = await anyio.to_thread.run_sync(
            lambda: Address(file).open("saga", connect=faults.connect)
        )
        try:
            async with SagaStore.open(file, sagas=sagas, **options) as store:
                yield store
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(engine.close)

    return opened


def gated():
    """A saga whose step waits at a gate, and is counted."""
    made = Saga("book")
    gate = anyio.Event()
    ran = []

    @made.step()
    async def a(context):
        ran.append(saga.current().fence)
        await gate.wait()
        return context

    @made.step()
    async def b(context):
        pass

    return made, gate, ran


async def test_a_store_that_works_again(opened, faults, caplog):
    booking, gate, ran = gated()
    async with opened(booking) as store:
        handle = await store.start(booking, 1)
        while not ran:
            await anyio.lowlevel.checkpoint()
        faults.is_broken = True
        gate.set()
        await when(lambda: "goes on trying to write" in caplog.text)
        with pytest.raises(EngineError):
            await store.start(booking, 2)
        faults.is_broken = False
        assert (await handle.outcome()).state == "completed"
    assert ran == [1], "the step was not repeated"


@pytest.mark.parametrize("lease", [2.0, 0.3])
async def test_a_store_that_fails_for_longer_than_its_patience(opened, faults, lease):
    """Whether its lease ends before that or after it."""
    booking, gate, ran = gated()
    with anyio.fail_after(20), pytest.raises(EngineError, match="disk I/O error"):
        async with opened(booking, patience=0.8, lease=lease) as store:
            await store.start(booking, 1)
            while not ran:
                await anyio.lowlevel.checkpoint()
            faults.is_broken = True
            gate.set()
            await anyio.sleep_forever()
    assert not store.health()
    faults.is_broken = False
    async with opened(booking) as store:
        await store.recover()
        while (await store.counts()) != {"book": {"completed": 1}}:
            await anyio.lowlevel.checkpoint()


async def test_a_service_raises_why_its_store_failed_not_what_came_of_it(opened, faults):
    """Who waits for an outcome has `Closed` before the store's own error has come anywhere."""
    booking, gate, ran = gated()
    stores = []

    @asynccontextmanager
    async def part():
        async with opened(booking, patience=0.1) as store:
            stores.append(store)
            yield

    service = Service("bookings")
    service.add(part())
    with anyio.fail_after(20), pytest.raises(PartFailed) as caught:
        async with service:
            handle = await stores[0].start(booking, 1)
            while not ran:
                await anyio.lowlevel.checkpoint()
            faults.is_broken = True
            gate.set()
            await handle.outcome()
    assert isinstance(caught.value.__cause__, EngineError)
    assert isinstance(caught.value.__context__, Closed)
    [note] = caught.value.__notes__
    assert note.startswith("after it: Closed")


async def test_an_idle_store_that_fails(opened, faults):
    """It has nothing to write; what is started then says what is wrong."""
    booking, gate, _ran = gated()
    gate.set()
    async with opened(booking) as store:
        await store.recover()
        faults.is_broken = True
        with pytest.raises(EngineError, match="disk I/O error"):
            await store.start(booking, 1)
        faults.is_broken = False
        assert (await store.run(booking, 1)).state == "completed"


@pytest.mark.parametrize("how", ["lost", "unknown"])
async def test_a_commit_that_fails_and_can_be_looked_up(opened, faults, how):
    """The file says whether it happened."""
    booking, gate, ran = gated()
    async with opened(booking) as store:
        handle = await store.start(booking, 1)
        while not ran:
            await anyio.lowlevel.checkpoint()
        faults.commits = [how]
        gate.set()
        assert (await handle.outcome()).state == "completed"
        assert len(await store.history("book", handle.key)) == 2
    assert ran == [1]
    assert faults.connections == 2


@pytest.mark.parametrize("how", ["lost", "unknown"])
async def test_a_step_whose_end_nobody_knows_is_found_as_it_is(opened, faults, how, caplog):
    booking, gate, ran = gated()
    async with opened(booking, lease=600.0) as store:
        handle = await store.start(booking, 1, key="k")
        while not ran:
            await anyio.lowlevel.checkpoint()
        faults.commits, faults.cannot_open = [how], 1
        gate.set()
        assert (await handle.outcome()).results["a"] == 1
        history = await store.history("book", "k")
        assert [each.step for each in history] == ["a", "b"]
    assert ran == ([1, 2] if how == "lost" else [1])


@pytest.mark.parametrize("how", ["lost", "unknown"])
async def test_a_start_whose_outcome_nobody_knows_is_run_if_it_is_there(opened, faults, how):
    booking, gate, ran = gated()
    gate.set()
    async with opened(booking, lease=600.0) as store:
        await store.recover()
        faults.commits, faults.cannot_open = [how], 1
        with pytest.raises(OutcomeUnknown):
            await store.start(booking, 1, key="k")
        # Asked again, it says.
        assert (await store.run(booking, 1, key="k")).state == "completed"
    assert len(ran) == 1


@pytest.mark.parametrize("how", ["lost", "unknown"])
async def test_a_transaction_whose_outcome_nobody_knows_happens_once(opened, faults, how):
    """Even if its step takes what it hears for a failure of its own."""
    booking = Saga("book")
    ran = []

    def insert(transaction):
        transaction.execute("INSERT INTO effect VALUES (1)")

    @booking.step()
    async def a(context):
        ran.append(saga.current().fence)
        if len(ran) == 1:
            faults.commits, faults.cannot_open = [how], 1
        try:
            await saga.current().transact(insert)
        except Exception as error:
            raise saga.Abort("it should not be asked what to do") from error

    async with opened(booking, lease=600.0) as store:
        await store.transact(lambda t: t.execute("CREATE TABLE effect (x)").close())
        outcome = await (await store.start(booking, 1)).outcome()
        count = await store.transact(
            lambda t: t.execute("SELECT count(*) FROM effect").fetchone()[0]
        )
        assert (outcome.state, count) == ("completed", 1)
    assert ran == ([1, 2] if how == "lost" else [1])


async def test_a_full_database(opened, faults, file, path, caplog):
    """By its own bound: sagas under way go on when there is room, and starts are refused."""
    booking, gate, ran = gated()

    def limit(pages):
        def apply(transaction):
            connection = sqlite3.Cursor.connection.__get__(transaction.execute("SELECT 1"))
            now = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {now + pages}")

        return apply

    async with opened(booking) as store:
        handle = await store.start(booking, 1)
        while not ran:
            await anyio.lowlevel.checkpoint()
        await store.transact(limit(0))
        with pytest.raises(DatabaseFull, match="full"):
            for number in range(200):
                await store.start(booking, "x" * 2000, key=str(number))
        gate.set()
        await anyio.sleep(0.1)
        await store.transact(limit(1000))
        assert (await handle.outcome()).state == "completed"
        await store.recover()
        assert "running" not in (await store.counts())["book"]


async def test_a_full_database_inside_of_a_function_fails_no_step(opened, faults):
    booking = Saga("book")
    attempts = []

    def fill(transaction):
        attempts.append(1)
        if len(attempts) == 1:
            raise failure(sqlite3.SQLITE_FULL, "database or disk is full")
        return "room"

    @booking.step()
    async def a(context):
        return await saga.current().transact(fill)

    async with opened(booking) as store:
        assert (await store.run(booking, 1)).results == {"a": "room"}
    assert len(attempts) == 2


async def test_a_file_that_cannot_be_written(file):
    booking, gate, _ran = gated()
    gate.set()
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.run(booking, 1, key="k")

    def read_only(path, timeout):
        return sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, timeout=timeout, isolation_level=None
        )

    with pytest.raises(DatabaseReadOnly, match="readonly database") as caught:
        await anyio.to_thread.run_sync(
            lambda: Address(file).open("saga", connect=read_only).writer.call(None)
        )
    assert "let this user write" in caught.value.hint


async def test_tables_of_a_newer_version(file, path):
    booking, gate, _ran = gated()
    gate.set()
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.run(booking, 1, key="k")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE penstock_schema SET version = 99 WHERE room = 'saga'")
    connection.commit()
    with pytest.raises(SchemaTooNew, match="saga tables are of version 99"):
        async with SagaStore.open(file, sagas=[booking]):
            pass
    assert connection.execute("SELECT count(*) FROM penstock_saga").fetchone() == (1,)
    connection.close()


async def test_an_open_that_failed_may_be_tried_again(tmp_path):
    booking, gate, _ran = gated()
    gate.set()
    store = SagaStore.open(f"sqlite:///{tmp_path}/no/trips.db", sagas=[booking])
    with pytest.raises(EngineError, match="there is no folder"):
        async with store:
            pass
    (tmp_path / "no").mkdir()
    async with store:
        await store.run(booking, 1)


async def test_another_process_that_holds_the_lock(opened, file, path, caplog):
    """Longer than the writer waits, shorter than the patience: sagas wait, and waiters too."""
    booking, gate, ran = gated()
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    async with opened(booking) as store:
        handle = await store.start(booking, 1)
        await when(lambda: ran)
        with subprocess.Popen(  # noqa: ASYNC220 (it begins at once)
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            await anyio.to_thread.run_sync(holder.stdout.readline)
            with pytest.raises(DatabaseLocked, match=f"process {holder.pid} kept it locked"):
                await store.start(booking, 2)
            gate.set()
            await when(lambda: "goes on trying to write" in caplog.text)
            holder.stdin.close()
        assert (await handle.outcome()).state == "completed"
        assert store.health()
    assert ran == [1]


async def test_who_waits_for_another_stores_saga_while_the_file_fails(opened, faults, file):
    block, gate, ran = gated()
    elsewhere, go = threading.Event(), threading.Event()
    booking, same = Saga("trip"), Saga("trip")
    for name in "ab":
        booking.add_step(name, lambda context: None)

    @same.step(name="a")
    async def waits(context):
        elsewhere.set()
        await anyio.to_thread.run_sync(go.wait)
        return "there"

    same.add_step("b", lambda context: None)

    async def other():
        async with SagaStore.open(file, sagas=[same]) as store:
            await store.start(same, 1, key="k")
            await store.recover()

    async with opened(booking, block, concurrency=1) as store:
        await store.start(block, 1)
        while not ran:  # its only place is taken now
            await anyio.lowlevel.checkpoint()
        thread = threading.Thread(target=anyio.run, args=(other,), daemon=True)
        thread.start()
        await anyio.to_thread.run_sync(elsewhere.wait)
        handle = await store.start(booking, 1, key="k")
        async with anyio.create_task_group() as group:
            done = []

            async def wait():
                done.append(await handle.outcome())

            group.start_soon(wait)
            await anyio.sleep(0.02)
            faults.is_broken = True
            await anyio.sleep(0.1)
            assert store.health()
            faults.is_broken = False
            go.set()
        assert done[0].results["a"] == "there"
        gate.set()
        await anyio.to_thread.run_sync(thread.join)
