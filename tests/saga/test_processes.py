"""Across processes: SIGKILL at every point, SIGSTOP, forks, an exit without closing.

Steps note each effect in a ledger outside of the store, and kill their own process there.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from penstock import Saga, SagaStore
from penstock.errors import Misuse
from tests.saga.pacing import when

LEASE = 600.0
"""Longer than a machine stands still: a lease ends when `bereave` says so, as its time would."""

POINTS = [f"{where} {name}" for name in "abc" for where in ("before", "between", "inside", "after")]
BACK = [f"{where} undo-{name}" for name in "ba" for where in ("before", "inside", "after")]
ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # processes choose for themselves


@pytest.fixture(scope="module")
def forking():
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.saga.points"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def launch(forking, tmp_path):
    """Begins a process of `points`, and waits until it is ready or somebody has died."""
    children = []

    def launch(point, lease, *context, folder=tmp_path):
        ledger = folder / "ledger"
        count = said(ledger, "ready", "died") if ledger.exists() else 0
        line = [f"sqlite:///{folder}/trips.db", str(ledger), point, lease, *context]
        print(json.dumps(line), file=forking.stdin, flush=True)
        children.append(int(forking.stdout.readline()))
        while not (ledger.exists() and said(ledger, "ready", "died") > count):
            time.sleep(0.005)
        return ledger

    yield launch
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def said(ledger, *words):
    return sum(line.split()[0] in words for line in ledger.read_text().splitlines())


async def line_of(process):
    return (await anyio.to_thread.run_sync(process.stdout.readline)).strip()


def connected(path):
    return closing(sqlite3.connect(path, timeout=30, isolation_level=None))


def bereave(path):
    """Ends the lease of whoever has saga k."""
    with connected(path) as connection:
        connection.execute(
            "UPDATE penstock_saga_holder SET until = 0"
            " WHERE owner = (SELECT owner FROM penstock_saga WHERE key = 'k')"
        )


async def ended(path, state):
    """Waits for the end of saga k; how long that took."""
    began = time.monotonic()
    with connected(path) as connection:
        query = "SELECT state, owner FROM penstock_saga WHERE key = 'k'"
        await when(lambda: connection.execute(query).fetchone() == (state, None))
    return time.monotonic() - began


def effects(path):
    connection = sqlite3.connect(path)
    found = [what for (what,) in connection.execute("SELECT what FROM effect ORDER BY rowid")]
    connection.close()
    return found


@ONE_LOOP
@pytest.mark.parametrize(
    ("context", "point"),
    [("goes on", point) for point in POINTS] + [("turns back", point) for point in BACK],
)
async def test_killed_at_any_point_another_process_ends_it(path, launch, context, point):
    launch(point, LEASE)
    ledger = launch(point, LEASE, context)
    goes_on = context == "goes on"
    await when(lambda: said(ledger, "died"))
    bereave(path)
    await ended(path, "completed" if goes_on else "compensated")
    done, undone = (["a", "b", "c"], []) if goes_on else (["a", "b"], ["undo-b", "undo-a"])
    assert effects(path) == done + undone, "each exactly once, and in order"
    lines = [line.split() for line in ledger.read_text().splitlines()]
    did = [(line[1], int(line[2])) for line in lines if line[0] == "did"]
    assert {name for name, _ in did} == {"a", "b", "c"}, "at least once"
    assert [name for name, _ in did] == sorted(name for name, _ in did), "in order"
    undid = [(line[1], int(line[2])) for line in lines if line[0] == "undid"]
    assert [name for name, _ in undid] == sorted((name for name, _ in undid), reverse=True)
    for each in (did, undid):
        assert len(set(each)) == len(each), "never twice under one fence"
        assert len(each) <= 4, "only what was under way is repeated"


@ONE_LOOP
async def test_an_idle_process_takes_over_within_the_lease_and_a_second(tmp_path, launch):
    took = []
    for attempt in range(5):  # a machine may stand still, but not every time
        folder = tmp_path / str(attempt)
        folder.mkdir()
        launch("before b", 2.0, folder=folder)
        ledger = launch("before b", 2.0, "goes on", folder=folder)
        await when(lambda ledger=ledger: said(ledger, "died"))
        took.append(await ended(folder / "trips.db", "completed"))
        if took[-1] < 2.0 + 1.0:
            return
    pytest.fail(f"it took {took} seconds")


@ONE_LOOP
async def test_idle_processes_leave_each_other_alone(path, launch):
    """A look that finds nothing commits nothing, or each would wake the other for ever."""
    for _ in range(2):
        launch("", 600.0)
    seen = []
    with connected(path) as connection:
        for _ in range(2):
            await anyio.sleep(0.5)  # what should not happen needs time not to
            seen.append(connection.execute("SELECT sum(number) FROM penstock_flush").fetchone()[0])
    assert seen[1] == seen[0]


ZOMBIE = """
    import os, signal, sys, time
    import anyio
    from penstock import Saga, SagaStore, saga

    booking = Saga("book")

    def insert(transaction, who):
        transaction.execute("INSERT INTO effect (what) VALUES (?)", (who,))

    @booking.step()
    async def a(context):
        step = saga.current()
        if context == "stops" and step.fence == 1:
            await started.wait()  # or it would be stopped with the file locked
            print("stopping", flush=True)
            if sys.argv[2] == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                sys.stdin.readline()  # blocks the loop
            print(f"fenced {step.is_fenced}", flush=True)
        await step.transact(insert, f"zombie {context} {step.fence}")

    async def main():
        global started
        started = anyio.Event()
        async with SagaStore.open(sys.argv[1], sagas=[booking], lease=1.5) as store:
            handle = await store.start(booking, "stops", key="k")
            started.set()
            print("lost it", (await handle.outcome()).state)
            outcome = await store.run(booking, "more", key="l")
            print(outcome.state.value, flush=True)

    anyio.run(main)
"""


@pytest.mark.parametrize("how", ["stop", "block"])
async def test_a_zombie_changes_nothing_and_goes_on_as_another(file, path, start, how):
    booking = Saga("book")
    fences = []

    def insert(transaction, what):
        transaction.execute("INSERT INTO effect (what) VALUES (?)", (what,))

    @booking.step()
    async def a(context):
        from penstock import saga

        fences.append(saga.current().fence)
        await go.wait()
        await saga.current().transact(insert, "heir")

    go = anyio.Event()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE effect (what)")
    zombie = start(ZOMBIE, file, how)
    assert await line_of(zombie) == "stopping"
    async with SagaStore.open(file, sagas=[booking], lease=LEASE) as store:
        await when(lambda: fences)
        if how == "stop":
            zombie.send_signal(signal.SIGCONT)
        else:
            zombie.stdin.write("\n")
            zombie.stdin.flush()
        assert await line_of(zombie) == "fenced True"
        # It waits now for the end of what it has lost: its own try changed nothing.
        await anyio.sleep(0.2)
        assert connection.execute("SELECT state, fence FROM penstock_saga").fetchall() == [
            ("running", 2)
        ]
        go.set()
        assert (await store.run(booking, "stops", key="k")).state == "completed"
    assert await line_of(zombie) == "lost it completed"
    assert await line_of(zombie) == "completed"
    assert effects(path)[:1] == ["heir"]
    assert len(effects(path)) == 2
    connection.close()
    assert fences[0] == 2


@ONE_LOOP
async def test_an_outcome_from_another_process(file, launch):
    booking = Saga("book")

    @booking.step()
    async def never(context):
        raise AssertionError("another process runs it")

    launch("", 600.0, "turns back")
    async with SagaStore.open(file, sagas=[booking]) as store:
        outcome = await (await store.start(booking, "turns back", key="k")).outcome()
        assert (outcome.state, outcome.step, outcome.error) == ("compensated", "c", "no")


async def test_sigterm_in_the_middle_gives_back(file, start):
    program = """
        import signal, sys, anyio
        from penstock import Saga, SagaStore

        booking = Saga("book")

        @booking.step()
        async def a(context):
            print("begun", flush=True)
            await anyio.sleep_forever()

        async def main():
            async with anyio.create_task_group() as group:
                async def sagas():
                    async with SagaStore.open(sys.argv[1], sagas=[booking]) as store:
                        await store.run(booking, 1, key="k")
                group.start_soon(sagas)
                with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                    async for _ in signals:
                        group.cancel_scope.cancel()
                        break

        anyio.run(main)
    """
    process = start(program, file)
    assert await line_of(process) == "begun"
    process.terminate()
    assert await anyio.to_thread.run_sync(process.wait) == 0
    async with SagaStore.open(file, sagas=[]) as store:
        found = await store.get("book", "k")
        assert (found.state, found.is_owned, found.crashes) == ("running", False, 0)


def test_a_forked_child_is_refused_and_may_open_its_own(file):
    booking = Saga("book")

    @booking.step()
    async def a(context):
        return context

    with SagaStore.open(file, sagas=[booking]).sync as sagas:
        sagas.run(booking, 1, key="parent")
        child = os.fork()
        if not child:
            code = 1
            try:
                anyio.run(sagas._store.start, booking, 2)
            except Misuse as error:
                code = 0 if "before the fork" in str(error) else 2
            try:
                with SagaStore.open(file, sagas=[booking]).sync as own:
                    own.run(booking, 3, key="child")
            except BaseException:
                code = 3
            os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        sagas.run(booking, 4, key="parent again")
        assert sorted(sagas.list().ids) == ["child", "parent", "parent again"]


def test_an_exit_without_closing_neither_hangs_nor_loses(file, start):
    process = start(
        """
        import asyncio, os, sys
        from penstock import Saga, SagaStore
        booking = Saga("book")

        @booking.step()
        async def a(context):
            await asyncio.sleep(3600)

        async def main():
            store = SagaStore.open(sys.argv[1], sagas=[booking], lease=0.3)
            await store.__aenter__()
            await store.start(booking, {"to": "Lisbon"}, key="k")
            print("started", flush=True)
            sys.stdout.flush()
            os._exit(0)

        asyncio.run(main())
        """,
        file,
    )
    assert process.wait(30) == 0
    booking = Saga("book")

    @booking.step()
    async def a(context):
        return context

    with SagaStore.open(file, sagas=[booking]).sync as sagas:
        outcome = sagas.run(booking, {"to": "Lisbon"}, key="k")
        assert json.dumps(outcome.results) == '{"a": {"to": "Lisbon"}}'
