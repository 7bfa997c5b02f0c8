"""Given back, taken over, begun anew: whatever happens to who runs a saga, it comes to its end."""

from __future__ import annotations

import sqlite3
import threading

import anyio
import anyio.to_thread
import pytest

from penstock import Retry, Saga, SagaStore, metrics, saga
from penstock._durable.engines import Address
from penstock.errors import Closed
from penstock.saga import Abort
from penstock.saga.store import Claim, NewSaga, Owner

LATER = Retry(attempts=2, delay=1000.0, max_delay=1000.0, jitter=0.0)
LEASE = 1.0


class Waiting:
    """A saga a → b: b waits, in its first attempt, until it is cancelled."""

    def __init__(self, **more):
        self.begun = anyio.Event()
        self.ran = []
        self.saga = Saga("book")
        self.saga.add_step("a", self.a, compensate=self.undo("a"))
        self.saga.add_step("b", self.b, compensate=self.undo("b"), **more)
        self.waits = True
        self.aborts = False

    async def a(self, context):
        self.ran.append(("a", saga.current().fence))
        return "a"

    async def b(self, context):
        self.ran.append(("b", saga.current().fence))
        if self.waits:
            self.waits = False
            self.begun.set()
            await anyio.sleep_forever()
        if self.aborts:
            raise Abort("no")
        return "b"

    def undo(self, name):
        async def undo(context):
            self.ran.append((f"undo {name}", saga.current().fence))

        return undo


@pytest.fixture(params=["cancelled", "raised"])
def leave(request):
    """Leaves a store abruptly."""

    async def leave(store, body):
        if request.param == "cancelled":
            with anyio.CancelScope() as scope:
                async with store:
                    await body()
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
        else:
            with pytest.raises(KeyError, match="mine"):
                async with store:
                    await body()
                    raise KeyError("mine")

    return leave


async def test_leaving_abruptly_gives_everything_back(file, leave):
    waiting = Waiting()

    async def body():
        await store.start(waiting.saga, 1, key="k")
        await waiting.begun.wait()

    store = SagaStore.open(file, sagas=[waiting.saga], lease=600.0)
    await leave(store, body)
    async with SagaStore.open(file, sagas=[]) as looks:
        found = await looks.get("book", "k")
        assert (found.state, found.is_owned, found.crashes) == ("running", False, 0)
    async with SagaStore.open(file, sagas=[waiting.saga]) as store:
        # Long before its lease is over.
        assert (await store.run(waiting.saga, 1, key="k")).results == {"a": "a", "b": "b"}
    assert waiting.ran == [("a", 1), ("b", 1), ("b", 2)]


async def test_a_step_that_was_cut_off_may_have_happened(file, leave):
    waiting = Waiting()

    async def body():
        await store.start(waiting.saga, 1, key="k")
        await waiting.begun.wait()

    store = SagaStore.open(file, sagas=[waiting.saga])
    await leave(store, body)
    waiting.aborts = True
    async with SagaStore.open(file, sagas=[waiting.saga]) as store:
        handle = await store.start(waiting.saga, 1, key="k")
        assert (await handle.outcome()).state == "compensated"
    assert waiting.ran == [("a", 1), ("b", 1), ("b", 2), ("undo b", 2), ("undo a", 2)]


async def test_draining_runs_to_the_end_what_runs(file):
    waiting = Waiting()
    go = anyio.Event()
    ended = []

    async def c(context):
        waiting.begun.set()
        await go.wait()

    async def d(context):
        ended.append(context)

    waiting.saga.add_step("c", c)
    waiting.saga.add_step("d", d)
    waiting.waits = False
    async with anyio.create_task_group() as group:  # noqa: SIM117 (the outer one waits last)
        async with SagaStore.open(file, sagas=[waiting.saga]) as store:
            handle = await store.start(waiting.saga, 1, key="k")
            await waiting.begun.wait()

            async def later():
                while store._runner.takes_more:
                    await anyio.lowlevel.checkpoint()
                # It drains: what is started now is for others.
                await store.start(waiting.saga, 2, key="l")
                go.set()

            group.start_soon(later)
    assert ended == [1]
    assert (await handle.outcome()).state == "completed"
    async with SagaStore.open(file, sagas=[]) as looks:
        assert await looks.counts() == {"book": {"completed": 1, "running": 1}}
        assert (await looks.get("book", "l")).fence == 0, "begun by nobody"


async def test_draining_gives_back_what_sleeps(file, clock, until):
    booking = Saga("book")
    attempts = []

    async def fails(context):
        attempts.append(saga.current().attempt)
        if len(attempts) == 1:
            raise OSError("again, later")

    async def undo(context):
        attempts.append("undo")

    async def aborts(context):
        raise Abort("no")

    booking.add_step("a", fails, compensate=undo, retry=LATER)
    with anyio.fail_after(30):
        async with SagaStore.open(file, sagas=[booking], clock=clock) as store:
            handle = await store.start(booking, 1, key="k")
            while not attempts:
                await anyio.lowlevel.checkpoint()
            while not await store.history("book", "k"):
                await anyio.lowlevel.checkpoint()
        with pytest.raises(Closed, match="closed before this saga ended"):
            await handle.outcome()
        async with SagaStore.open(file, sagas=[booking], clock=clock) as store:
            await store.recover()
            found = await store.get("book", "k")
            assert (found.state, found.is_owned) == ("running", False), "not due yet"
            clock.now += 1000
            # Time that is turned by hand wakes nobody; a commit does.
            await store.start(booking, 2, key="l")
            await until(store, "book", "k", state="completed")
            assert (await store.get("book", "k")).crashes == 0
    assert sorted(attempts) == [1, 1, 2]


async def test_a_pause_is_waited_for_where_it_is(url):
    booking = Saga("book")
    times = []

    async def fails(context):
        times.append(anyio.current_time())
        if len(times) < 3:
            raise OSError("again")

    booking.add_step("a", fails, retry=Retry(attempts=3, delay=0.05, multiplier=1.0, jitter=0.0))
    async with SagaStore.open(url, sagas=[booking]) as store:
        await store.run(booking, 1)
    assert times[1] - times[0] > 0.045
    assert times[2] - times[1] > 0.045


def die(engine, clock, names=("book",), seconds=10.0):
    """What a process leaves behind that claims all there is, and dies."""
    owner = Owner(f"dead at {clock.now}", seconds, holds=False)
    answer = engine.writer.call(engine.claim(Claim(owner, names, 100)))
    clock.now += seconds
    return [each.key for each in answer.claimed]


def start_for_anybody(engine, made, key):
    """A start that nobody owns, as one beyond a store's bound."""
    made.seal()
    new = NewSaga(made.name, key, made.version, made.encoded(1), None)
    engine.writer.call(engine.start(new, None))


async def test_a_step_that_kills_its_processes_is_parked(file, clock):
    """Not the others: not endlessly, and not the process that sees it so."""
    waiting = Waiting()
    waiting.waits = False
    engine = await anyio.to_thread.run_sync(
        lambda: Address(file).open("saga", clock=clock), abandon_on_cancel=False
    )
    try:
        await anyio.to_thread.run_sync(start_for_anybody, engine, waiting.saga, "k")
        for _ in range(3):
            assert await anyio.to_thread.run_sync(die, engine, clock) == ["k"]
        async with SagaStore.open(file, sagas=[waiting.saga], clock=clock, max_crashes=3) as store:
            await store.recover()
            found = await store.get("book", "k")
            assert found.state == "parked"
            assert found.error == "step 'a' lost its process 3 times in a row"
            assert waiting.ran == []
            assert await store.resume("book", "k")
            await store.recover()
            assert (await store.get("book", "k")).state == "completed"
    finally:
        await anyio.to_thread.run_sync(engine.close)


async def test_so_many_crashes_are_stood(file, clock):
    waiting = Waiting()
    waiting.waits = False
    engine = await anyio.to_thread.run_sync(lambda: Address(file).open("saga", clock=clock))
    try:
        await anyio.to_thread.run_sync(start_for_anybody, engine, waiting.saga, "k")
        for _ in range(2):
            assert await anyio.to_thread.run_sync(die, engine, clock) == ["k"]
        async with SagaStore.open(file, sagas=[waiting.saga], clock=clock, max_crashes=3) as store:
            await store.recover()
            assert (await store.get("book", "k")).state == "completed"
    finally:
        await anyio.to_thread.run_sync(engine.close)


def elsewhere(file, made, let_go, **options):
    """A thread with a loop of its own that runs sagas until it is let go."""

    async def main():
        async with SagaStore.open(file, sagas=[made], **options):
            await anyio.to_thread.run_sync(let_go.wait)

    return threading.Thread(target=anyio.run, args=(main,), daemon=True)


@pytest.mark.parametrize("transacts", [False, True])
async def test_a_blocked_loop_is_taken_over_and_its_writes_change_nothing(file, transacts):
    taken, let_go = threading.Event(), threading.Event()
    seen = []

    def insert(transaction, who):
        transaction.execute("INSERT INTO effect VALUES (?)", (who,))
        return who

    async def end(who):
        return await saga.current().transact(insert, who) if transacts else who

    booking, same = Saga("book"), Saga("book")

    @booking.step(name="a")
    async def blocks(context):
        step = saga.current()
        seen.append(("blocked", step.fence, step.is_fenced))
        others_begin()
        assert taken.wait(30)
        seen.append(("goes on", step.fence, step.is_fenced))
        return await end("zombie")

    @same.step(name="a")
    async def takes(context):
        step = saga.current()
        seen.append(("taken over", step.fence, step.is_fenced))
        taken.set()
        # Held until the zombie has tried.
        await anyio.to_thread.run_sync(tried.wait)
        return await end("heir")

    tried = threading.Event()
    thread = elsewhere(file, same, let_go, lease=600.0)
    others_begin = thread.start
    before = _lost(file)
    async with SagaStore.open(file, sagas=[booking], lease=LEASE) as store:
        await store.transact(lambda t: t.execute("CREATE TABLE effect (who)").close())
        handle = await store.start(booking, 1, key="k")
        while _lost(file) == before:
            await anyio.lowlevel.checkpoint()
        found = await store.get("book", "k")
        assert (found.state, found.fence, found.is_owned) == ("running", 2, True)
        tried.set()
        outcome = await handle.outcome()
        assert outcome.results == {"a": "heir"}, "seen by who lost it, too"
        assert [each.fence for each in await store.history("book", "k")] == [2]
        effects = await store.transact(
            lambda t: [who for (who,) in t.execute("SELECT who FROM effect")]
        )
        assert effects == (["heir"] if transacts else [])
        # And it goes on working.
        let_go.set()
        await anyio.to_thread.run_sync(thread.join)
        taken.set()
        others_begin = bool
        assert (await store.run(booking, 2, key="l")).results == {"a": "zombie"}
    assert seen[:3] == [("blocked", 1, False), ("taken over", 2, False), ("goes on", 1, True)]


def _lost(url):
    family = metrics.counter("penstock_saga_leases_lost", "leases that were lost", ("store",))
    return family.bind(store=url).value


async def test_a_slow_step_keeps_its_lease(file):
    booking = Saga("book")
    seen = []

    @booking.step()
    async def slow(lease):
        seen.append(("begins", saga.current().fence))
        await anyio.sleep(4 * lease)  # time has to pass, the lease's own
        seen.append(("ends", saga.current().is_fenced))

    # A machine that stands still for longer than a lease takes it away, and rightly so.
    for lease in (0.3, 1.0, 3.0):
        seen.clear()
        async with (
            SagaStore.open(file, sagas=[booking], lease=lease) as store,
            SagaStore.open(file, sagas=[booking], lease=lease),
        ):
            await store.run(booking, lease)
        if seen == [("begins", 1), ("ends", False)]:
            return
    pytest.fail(f"it was taken over: {seen}")


async def test_a_lease_that_was_taken_away_is_noticed(file, path, until):
    """Whatever took it: everything is begun anew, under higher fences."""
    booking = Saga("book")
    ran = []
    go = anyio.Event()

    @booking.step()
    async def a(context):
        ran.append((context, saga.current().fence))
        if saga.current().fence == 1:
            await anyio.sleep_forever()
        await go.wait()

    async with SagaStore.open(file, sagas=[booking], lease=3.0) as store:
        handles = [await store.start(booking, number) for number in range(3)]
        while len(ran) < 3:
            await anyio.lowlevel.checkpoint()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("DELETE FROM penstock_saga_holder")
        other.close()
        while len(ran) < 6:
            await anyio.lowlevel.checkpoint()
        go.set()
        for handle in handles:
            assert (await handle.outcome()).state == "completed"
    assert sorted(ran) == [(number, fence) for number in range(3) for fence in (1, 2)]


async def test_an_outcome_is_waited_for_in_another_store(file):
    """It runs in one loop, and is waited for in another, before and while it runs."""
    go = threading.Event()
    let_go = threading.Event()
    booking, same = Saga("book"), Saga("book")

    @booking.step()
    async def a(context):
        raise AssertionError("runs at the other one")

    @same.step(name="a")
    async def waits(context):
        await anyio.to_thread.run_sync(go.wait)
        return "there"

    thread = elsewhere(file, same, let_go)
    block = Saga("block")

    @block.step(name="a")
    async def blocks(context):
        blocked.set()
        await block_ends.wait()

    blocked, block_ends = anyio.Event(), anyio.Event()
    async with SagaStore.open(file, sagas=[booking, block], concurrency=1) as store:
        await store.start(block, 1)
        await blocked.wait()
        handle = await store.start(booking, 1, key="k")
        thread.start()
        outcomes = []

        async def wait():
            outcomes.append((await handle.outcome()).results)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(wait)
            with anyio.move_on_after(0.05):
                await handle.outcome()
            go.set()
        assert outcomes == [{"a": "there"}] * 5
        block_ends.set()
        let_go.set()
        await anyio.to_thread.run_sync(thread.join)
