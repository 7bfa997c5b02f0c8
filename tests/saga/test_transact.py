"""`transact`: a function's writes and the end of its step are one commit; exactly once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager

import anyio
import anyio.from_thread
import pytest

from penstock import Retry, Saga, SagaStore, saga
from penstock.errors import Misuse
from penstock.saga import Abort
from tests.conftest import BACKENDS

AT_ONCE = Retry(attempts=3, delay=0.0)
UNTIL_BEGUN = Retry(attempts=1000, delay=0.0)
"""For a timeout that is to come while a transaction runs: on a busy machine it may come before."""


def take(transaction, seat):
    transaction.execute("INSERT INTO seat (number) VALUES (?)", (seat,))
    return {"seat": seat}


def release(transaction, seat):
    transaction.execute("DELETE FROM seat WHERE number = ?", (seat,))


def create(transaction):
    transaction.execute("CREATE TABLE IF NOT EXISTS seat (number UNIQUE)")


@pytest.fixture
def opened(url):
    """Opens a store with a table `seat`."""

    @asynccontextmanager
    async def opened(*sagas, **options):
        async with SagaStore.open(url, sagas=sagas, **options) as store:
            await store.transact(create)
            yield store

    return opened


async def seats(store):
    return await store.transact(
        lambda transaction: [
            number for (number,) in transaction.execute("SELECT number FROM seat ORDER BY 1")
        ]
    )


async def test_a_step_ends_with_its_writes(opened):
    booking = Saga("book")

    @booking.step()
    async def reserve(seat):
        result = await saga.current().transact(take, seat)
        assert result == {"seat": seat}
        return result

    @booking.step()
    async def check(seat):
        return saga.current().result("reserve")

    async with opened(booking) as store:
        outcome = await store.run(booking, 7, key="k")
        assert outcome.results == {"reserve": {"seat": 7}, "check": {"seat": 7}}
        assert await seats(store) == [7]
        history = await store.history("book", "k")
        assert [(each.step, each.state, each.result) for each in history] == [
            ("reserve", "done", b'{"seat":7}'), ("check", "done", b'{"seat":7}'),
        ]  # fmt: skip


async def test_as_the_last_step_and_in_a_compensation(opened):
    booking = Saga("book")

    async def reserve(seat):
        await saga.current().transact(take, seat)

    async def undo(seat):
        await saga.current().transact(release, seat)

    async def pay(seat):
        if seat == 8:
            raise Abort("declined")
        await saga.current().transact(lambda transaction: transaction.execute("SELECT 1").close())

    booking.add_step("reserve", reserve, compensate=undo)
    booking.add_step("pay", pay)
    async with opened(booking) as store:
        assert (await store.run(booking, 7)).state == "completed"
        handle = await store.start(booking, 8, key="eight")
        assert (await handle.outcome()).state == "compensated"
        assert await seats(store) == [7]
        assert [each.phase for each in await store.history("book", "eight")] == ["do", "do", "undo"]


async def test_what_raises_leaves_nothing_and_comes_out(opened):
    booking = Saga("book")
    raised = []

    def takes_and_raises(transaction, seat):
        take(transaction, seat)
        if saga.current().attempt < 3:
            raise ValueError("not yet")
        return seat

    @booking.step(retry=AT_ONCE)
    async def reserve(seat):
        try:
            return await saga.current().transact(takes_and_raises, seat)
        except ValueError as error:
            raised.append(str(error))
            raise

    async with opened(booking) as store:
        assert (await store.run(booking, 7)).results == {"reserve": 7}
        assert raised == ["not yet", "not yet"]
        assert await seats(store) == [7]


async def test_a_step_may_go_on_after_a_transaction_that_failed(opened):
    booking = Saga("book")

    def no(transaction, seat):
        take(transaction, seat)
        raise KeyError(seat)

    @booking.step()
    async def reserve(seat):
        with pytest.raises(KeyError):
            await saga.current().transact(no, seat)
        return await saga.current().transact(take, seat + 1)

    async with opened(booking) as store:
        await store.run(booking, 7)
        assert await seats(store) == [8]


async def test_a_result_that_cannot_be_stored_leaves_nothing(opened):
    booking = Saga("book")

    def takes(transaction, seat):
        take(transaction, seat)
        return object()

    @booking.step()
    async def reserve(seat):
        await saga.current().transact(takes, seat)

    async with opened(booking) as store:
        with pytest.raises(TypeError):
            await store.run(booking, 7)
        assert await seats(store) == []


async def test_twice_in_a_step(opened):
    booking = Saga("book")

    @booking.step()
    async def reserve(seat):
        await saga.current().transact(take, seat)
        with pytest.raises(Misuse, match="step 'reserve' has ended with its first transaction"):
            await saga.current().transact(take, seat)
        return "dropped: the step has ended"

    async with opened(booking) as store:
        outcome = await store.run(booking, 7)
        assert outcome.results == {"reserve": {"seat": 7}}
        assert await seats(store) == [7]


async def test_two_at_once_in_a_step(opened):
    """The second finds the step ended, one way or the other, and leaves nothing."""
    booking = Saga("book")
    ended = []

    @booking.step()
    async def reserve(seat):
        step = saga.current()

        async def one(number):
            try:
                await step.transact(take, number)
                ended.append("done")
            except (Misuse, sqlite3.IntegrityError):
                ended.append("refused")

        async with anyio.create_task_group() as group:
            group.start_soon(one, 1)
            group.start_soon(one, 2)

    @booking.step()
    async def after(seat):
        return "ran"

    async with opened(booking) as store:
        outcome = await store.run(booking, 7)
        assert outcome.results["after"] == "ran"
        assert sorted(ended) == ["done", "refused"]
        assert len(await seats(store)) == 1


async def test_a_step_that_raises_afterwards_has_ended_all_the_same(opened, caplog):
    booking = Saga("book")
    ran = []

    async def undo(seat):
        ran.append("undo")

    async def reserve(seat):
        await saga.current().transact(take, seat)
        raise ValueError("too late")

    async def after(seat):
        ran.append("after")

    booking.add_step("reserve", reserve, compensate=undo, retry=AT_ONCE)
    booking.add_step("after", after)
    async with opened(booking) as store:
        assert (await store.run(booking, 7)).state == "completed"
        assert await seats(store) == [7]
    assert ran == ["after"]
    assert "step 'reserve' raised after its transaction, which stands" in caplog.text


async def test_a_timeout_that_comes_while_it_commits(opened):
    """The transaction was faster: nothing is undone, nothing repeated."""
    booking = Saga("book")
    ran = []

    def slow(transaction, seat):
        ran.append(seat)
        time.sleep(0.1)  # longer than the step may take
        return take(transaction, seat)

    async def reserve(seat):
        await saga.current().transact(slow, seat)
        await anyio.sleep_forever()

    async def undo(seat):
        ran.append("undo")

    booking.add_step("reserve", reserve, compensate=undo, timeout=0.02, retry=UNTIL_BEGUN)
    async with opened(booking) as store:
        outcome = await store.run(booking, 7)
        assert outcome.results == {"reserve": {"seat": 7}}
        assert await seats(store) == [7]
    assert ran == [7]


@pytest.mark.parametrize("anyio_backend", BACKENDS[:2])
async def test_a_native_timeout_that_comes_while_it_commits(opened):
    """asyncio.timeout heeds no shield; the step must know all the same that it has ended."""
    booking = Saga("book")
    ran = []

    def slow(transaction, seat):
        ran.append("slow")
        time.sleep(0.1)
        return take(transaction, seat)

    async def reserve(seat):
        async with asyncio.timeout(0.02):
            await saga.current().transact(slow, seat)

    async def undo(seat):
        ran.append("undo")

    async def after(seat):
        ran.append("after")

    booking.add_step("reserve", reserve, compensate=undo, retry=UNTIL_BEGUN)
    booking.add_step("after", after)
    async with opened(booking) as store:
        assert (await store.run(booking, 7)).results["reserve"] == {"seat": 7}
        assert await seats(store) == [7]
    assert ran == ["slow", "after"]


async def test_a_task_that_outlives_its_step_ends_no_other(opened):
    booking = Saga("book")
    refused = []
    go, tried = anyio.Event(), anyio.Event()

    async with anyio.create_task_group() as group:

        async def late(step):
            await go.wait()
            try:
                await step.transact(take, 99)
            except Misuse as error:
                refused.append(str(error))
            tried.set()

        @booking.step()
        async def one(seat):
            group.start_soon(late, saga.current())

        @booking.step()
        async def two(seat):
            go.set()
            await tried.wait()
            return "its own"

        async with opened(booking) as store:
            assert (await store.run(booking, 7)).results["two"] == "its own"
            assert await seats(store) == []
    assert refused == ["step 'one' is over"]


async def test_what_would_end_the_shared_transaction_is_refused(opened):
    statements = ["COMMIT", " end", "/* x */ ROLLBACK", "-- y\nBEGIN", "savepoint a", "RELEASE a",
                  "PRAGMA user_version = 3", "ATTACH ':memory:' AS x", "VACUUM", "; COMMIT",
                  "\fCOMMIT", "\ufeffCOMMIT"]  # fmt: skip

    def each(transaction):
        for statement in statements:
            with pytest.raises(Misuse, match="inside of a transaction that others share"):
                transaction.execute(statement)
            with pytest.raises(Misuse, match="inside of a transaction that others share"):
                transaction.execute("SELECT 1").execute(statement)
            with pytest.raises(Misuse, match="inside of a transaction that others share"):
                transaction.executemany(statement, [()])
        with pytest.raises(Misuse, match="executescript"):
            transaction.execute("SELECT 1").executescript("SELECT 1; COMMIT")
        for end in ("commit", "rollback"):
            with pytest.raises(Misuse, match="the connection of a transaction that others share"):
                getattr(transaction.execute("SELECT 1").connection, end)()
        return take(transaction, 7)

    async with opened() as store:
        assert await store.transact(each) == {"seat": 7}
        assert await seats(store) == [7]


async def test_a_trigger_that_ends_the_transaction_harms_nobody_else(opened):
    """It is undone for all, and each is run anew by itself."""
    ended = []

    def trigger(transaction):
        transaction.execute(
            "CREATE TRIGGER no BEFORE INSERT ON seat WHEN new.number = 13"
            " BEGIN SELECT raise(ROLLBACK, 'not thirteen'); END"
        )

    async with opened() as store:
        await store.transact(trigger)

        async def one(seat):
            try:
                ended.append(await store.transact(take, seat))
            except Exception as error:
                ended.append(str(error))

        async with anyio.create_task_group() as group:
            for seat in range(10, 20):
                group.start_soon(one, seat)
        assert await seats(store) == [seat for seat in range(10, 20) if seat != 13]
        (refused,) = [each for each in ended if isinstance(each, str)]
        assert "not thirteen" in refused


async def test_what_a_function_raises_reaches_its_caller_alone(opened):
    class Enough(BaseException):
        pass

    def enough(transaction):
        raise Enough

    ended = []
    async with opened() as store:

        async def one(fn, *args):
            try:
                ended.append(await store.transact(fn, *args))
            except Enough:
                ended.append("enough")

        async with anyio.create_task_group() as group:
            group.start_soon(one, take, 1)
            group.start_soon(one, enough)
            group.start_soon(one, take, 2)
        assert sorted(map(str, ended)) == ["enough", "{'seat': 1}", "{'seat': 2}"]
        assert await seats(store) == [1, 2]


async def test_the_transaction_is_of_its_function_alone(opened):
    kept = []

    def keep(transaction):
        assert transaction.in_transaction
        kept.extend([transaction, transaction.execute("SELECT 1")])

    async with opened() as store:
        await store.transact(keep)
        with pytest.raises(Misuse, match="the transaction is over"):
            kept[0].execute("SELECT 1")
        with pytest.raises(Misuse, match="the transaction is over"):
            kept[1].execute("SELECT 1")


async def test_what_cannot_be_run_on_the_writers_thread(opened):
    async def fn(transaction):
        pass

    booking = Saga("book")

    @booking.step()
    async def reserve(seat):
        with pytest.raises(Misuse, match="not a plain function"):
            await saga.current().transact(fn)
        with pytest.raises(Misuse, match="not a plain function"):
            await saga.current().transact("SELECT 1")

    async with opened(booking) as store:
        await store.run(booking, 1)
        with pytest.raises(Misuse, match="not a plain function"):
            await store.transact(fn)
        with pytest.raises(Misuse, match="not a plain function"):
            await store.transact(None)


async def test_from_a_plain_function_in_a_thread(opened):
    booking = Saga("book")

    @booking.step()
    def reserve(seat):
        return anyio.from_thread.run(saga.current().transact, take, seat)

    async with opened(booking) as store:
        await store.run(booking, 7)
        assert await seats(store) == [7]


async def test_a_store_transaction_that_was_cancelled_before_it_was_taken(opened):
    """Or it stands: what it must not be is half there."""
    async with opened() as store:
        for seat in range(50):
            with anyio.move_on_after(0):
                await store.transact(take, seat)
        found = await seats(store)
        assert found == sorted(set(found))
