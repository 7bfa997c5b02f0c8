"""Writes share commits; each caller hears of its own, and of nobody else's mistakes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest

from penstock import metrics
from penstock._durable.errors import OutcomeUnknown
from penstock._durable.writes import Write
from penstock.engines.sqlite import DatabaseDamaged, DatabaseFull
from penstock.errors import Closed, EngineError, Misuse

from .conftest import BESIDE, SCRIPT, insert


def write(value, kind=SCRIPT, **options):
    return Write(kind, insert(value), **options)


async def test_what_gathers_during_a_commit_shares_the_next(store, pending):
    go = await anyio.to_thread.run_sync(store.block)
    results = []

    async def one(number: int) -> None:
        results.append(await store.writer.run(write(number)))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(one, number)
        await anyio.to_thread.run_sync(pending, store, 50)
        go()
    assert [len(flush) for flush in store.flushes] == [1, 50]
    assert sorted(results) == list(range(1, 51))


def test_threads_share_commits_too(store, pending):
    go = store.block()
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(store.writer.call, write(number)) for number in range(20)]
        pending(store, 20)
        go()
        assert sorted(future.result() for future in futures) == list(range(1, 21))
    assert [len(flush) for flush in store.flushes] == [1, 20]


async def test_acknowledged_means_committed(store, tmp_path):
    await store.writer.run(write("a"))
    reader = sqlite3.connect(tmp_path / "store.db")
    assert reader.execute("SELECT value FROM items").fetchall() == [("a",)]
    reader.close()


@pytest.mark.parametrize(("limits", "sizes"), [
    ({"max_writes": 4}, [4, 4, 2]),
    ({"max_bytes": 250}, [2, 2, 2, 2, 2]),
])  # fmt: skip
async def test_a_flush_is_bounded(open_store, pending, limits, sizes):
    store = await anyio.to_thread.run_sync(lambda: open_store(**limits))
    go = await anyio.to_thread.run_sync(store.block)
    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(store.writer.run, write(number, size=100))
        await anyio.to_thread.run_sync(pending, store, 10)
        go()
    assert [len(flush) for flush in store.flushes[1:]] == sizes


async def test_what_waits_is_bounded(open_store, pending):
    store = await anyio.to_thread.run_sync(lambda: open_store(max_pending=4))
    go = await anyio.to_thread.run_sync(store.block)
    done = []

    async def one(number: int) -> None:
        await store.writer.run(write(number))
        done.append(number)

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(one, number)
        while store.writer._queue.statistics().waiting_putters < 6:
            await anyio.lowlevel.checkpoint()
        assert store.writer._queue.qsize() == 4
        go()
    assert sorted(done) == list(range(10))


async def test_one_bad_write_fails_alone(store, pending):
    await store.writer.run(write("taken"))
    go = await anyio.to_thread.run_sync(store.block)
    outcomes = {}

    async def one(name, each) -> None:
        try:
            outcomes[name] = await store.writer.run(each)
        except Exception as error:
            outcomes[name] = error

    def bug(connection):
        connection.execute("INSERT INTO items VALUES ('half')")
        raise KeyError("mine")

    async with anyio.create_task_group() as group:
        group.start_soon(one, "a", write("a"))
        group.start_soon(one, "taken", write("taken"))
        group.start_soon(one, "bug", Write(SCRIPT, bug))
        group.start_soon(one, "beside", write("beside", BESIDE))
        await anyio.to_thread.run_sync(pending, store, 4)
        go()
    assert isinstance(outcomes["taken"], EngineError)
    assert "UNIQUE" in str(outcomes["taken"])
    assert isinstance(outcomes["taken"].__cause__, sqlite3.IntegrityError)
    assert isinstance(outcomes["bug"], KeyError)
    assert await anyio.to_thread.run_sync(store.values) == ["taken", "a", "beside"]


async def test_a_trigger_that_rolls_back_all_fails_its_write_alone(store, pending):
    """After it the next statement would commit by itself: nothing more may run there."""
    await store.writer.run(
        Write(
            SCRIPT,
            lambda connection: connection.execute(
                "CREATE TRIGGER no BEFORE INSERT ON items WHEN new.value = 'bad'"
                " BEGIN SELECT raise(ROLLBACK, 'not that'); END"
            ),
        )
    )
    go = await anyio.to_thread.run_sync(store.block)
    outcomes = {}

    async def one(name, kind=SCRIPT) -> None:
        try:
            outcomes[name] = await store.writer.run(write(name, kind))
        except EngineError as error:
            outcomes[name] = str(error)

    async with anyio.create_task_group() as group:
        group.start_soon(one, "a")
        group.start_soon(one, "bad")
        group.start_soon(one, "c")
        group.start_soon(one, "d", BESIDE)
        await anyio.to_thread.run_sync(pending, store, 4)
        go()
    assert "not that" in outcomes.pop("bad")
    assert sorted(outcomes) == ["a", "c", "d"]
    assert sorted(await anyio.to_thread.run_sync(store.values)) == ["a", "c", "d"]


async def test_a_full_database_fails_what_does_not_fit(store, pending):
    def limit(connection):
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 10}")

    await store.writer.run(Write(SCRIPT, limit))
    go = await anyio.to_thread.run_sync(store.block)
    outcomes = {}

    async def one(name, value) -> None:
        try:
            outcomes[name] = await store.writer.run(write(value))
        except DatabaseFull as error:
            outcomes[name] = error

    async with anyio.create_task_group() as group:
        group.start_soon(one, "small", "x")
        group.start_soon(one, "large", "y" * 1_000_000)
        group.start_soon(one, "small too", "z")
        await anyio.to_thread.run_sync(pending, store, 3)
        go()
    full = outcomes.pop("large")
    assert "full" in str(full)
    assert "make room" in full.hint
    assert all(isinstance(rowid, int) for rowid in outcomes.values()), outcomes
    assert sorted(await anyio.to_thread.run_sync(store.values)) == ["x", "z"]
    (check,) = await store.writer.run(
        Write(SCRIPT, lambda c: c.execute("PRAGMA integrity_check").fetchone())
    )
    assert check == "ok"


async def test_cancelled_before_it_is_taken_it_is_withdrawn(store, pending):
    go = await anyio.to_thread.run_sync(store.block)
    async with anyio.create_task_group() as group:
        group.start_soon(store.writer.run, write("withdrawn"))
        await anyio.to_thread.run_sync(pending, store, 1)
        group.cancel_scope.cancel()
    go()
    assert await anyio.to_thread.run_sync(store.values) == []


async def test_cancelled_after_it_is_taken_it_stands(store):
    begun, go = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        assert go.wait(30)
        insert("stands")(connection)

    async with anyio.create_task_group() as group:
        group.start_soon(store.writer.run, Write(SCRIPT, slow))
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
    go.set()
    assert await anyio.to_thread.run_sync(store.values) == ["stands"]


async def test_what_must_stand_is_not_withdrawn(store, pending):
    go = await anyio.to_thread.run_sync(store.block)
    async with anyio.create_task_group() as group:

        async def standing() -> None:
            await store.writer.run(write("stands"), stands=True)

        group.start_soon(standing)
        await anyio.to_thread.run_sync(pending, store, 1)
        group.cancel_scope.cancel()
    go()
    assert await anyio.to_thread.run_sync(store.values) == ["stands"]


async def test_one_wake_for_a_loop_and_flush(store, pending):
    """The writer rings the loop's bell once, however many wait."""
    from penstock._loops import current_hub

    go = await anyio.to_thread.run_sync(store.block)
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(store.writer.run, write(number))
        await anyio.to_thread.run_sync(pending, store, 100)
        before = current_hub().rings
        go()
    # More than one only if the loop had answered while the writer went through its list.
    assert 1 <= current_hub().rings - before <= 20


async def test_several_loops_wait_on_one_writer(store):
    async def work(base: int) -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(store.writer.run, write(base + number))

    async with anyio.create_task_group() as group:
        for base in (0, 100, 200):
            group.start_soon(anyio.to_thread.run_sync, asyncio.run, work(base))
    assert len(await anyio.to_thread.run_sync(store.values)) == 60


def test_stop_commits_what_was_handed_over(open_store, pending, tmp_path):
    store = open_store()
    go = store.block()
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(store.writer.call, write(number)) for number in range(10)]
        pending(store, 10)
        go()
        store.writer.stop()
        assert all(future.result() for future in futures)
    with pytest.raises(Closed, match="is closed"):
        store.writer.call(write("late"))
    reader = sqlite3.connect(tmp_path / "store.db")
    assert reader.execute("SELECT count(*) FROM items").fetchone() == (10,)
    reader.close()


async def test_a_blocking_call_on_a_loop_is_refused(store):
    with pytest.raises(Misuse, match="would stop the loop"):
        store.writer.call(write(1))


def test_flushes_are_measured(store):
    store.writer.call(write(1))
    snapshot = metrics.snapshot()
    for name in ("penstock_flush_writes", "penstock_flush_seconds", "penstock_flush_wait_seconds"):
        (series,) = [
            series
            for series in snapshot[name].series
            if series.labels == {"store": "sqlite:///store.db"}
        ]
        assert series.distribution.count > 0


class Failing(sqlite3.Connection):
    """COMMIT fails once, after or before it has happened, and leaves no transaction."""

    has_written = False
    fails: str | None = None
    reopen_fails = False

    def execute(self, sql, *arguments):
        if sql == "COMMIT" and Failing.fails is not None and self.has_written:
            how, Failing.fails = Failing.fails, None
            super().execute("COMMIT" if how == "after" else "ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        if sql.startswith("INSERT INTO items"):
            self.has_written = True
        return super().execute(sql, *arguments)


def failing_connect(path, timeout):
    if Failing.reopen_fails:
        raise sqlite3.OperationalError("unable to open database file")
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, factory=Failing)


@pytest.fixture
def failing(open_store):
    Failing.fails, Failing.reopen_fails = None, False
    yield open_store(connect=failing_connect)
    Failing.fails, Failing.reopen_fails = None, False


def test_a_commit_that_happened_although_it_failed_is_acknowledged(failing):
    Failing.fails = "after"
    assert failing.writer.call(write("there")) == 1
    assert failing.values() == ["there"]


def test_a_commit_that_did_not_happen_is_an_error(failing):
    Failing.fails = "before"
    with pytest.raises(DatabaseDamaged, match="disk I/O error"):
        failing.writer.call(write("gone"))
    assert failing.values() == []
    failing.writer.call(write("next"))
    assert failing.values() == ["next"]


def test_a_batch_whose_commit_did_not_happen_is_run_again_one_by_one(failing, pending):
    go = failing.block()
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(failing.writer.call, write(number)) for number in range(3)]
        pending(failing, 3)
        Failing.fails = "before"
        go()
        assert sorted(future.result() for future in futures) == [1, 2, 3]
    assert sorted(failing.values()) == [0, 1, 2]


def test_a_commit_of_which_nobody_can_tell_says_so(failing):
    Failing.fails, Failing.reopen_fails = "after", True
    with pytest.raises(OutcomeUnknown, match="does not say whether it happened"):
        failing.writer.call(write("perhaps"))
    Failing.reopen_fails = False
    assert failing.values() == ["perhaps"], "it goes on with a new connection"
