"""A saga in a store: the same key is the same run, so many at a time, looked at from outside."""

from __future__ import annotations

import anyio
import pytest

from penstock import Retry, Saga, SagaStore
from penstock.errors import Closed, Conflict, Misuse
from penstock.saga import Abort, SagaCompensated, SagaState


def saga_of(*functions, name="book", **options):
    made = Saga(name)
    for function in functions:
        made.add_step(function.__name__, function, **options)
    return made


async def quick(context):
    return context


async def fails(context):
    raise ValueError(f"no room for {context}")


async def test_a_run(url):
    booking = saga_of(quick)
    async with SagaStore.open(url, sagas=[booking]) as store:
        outcome = await store.run(booking, {"to": "Lisbon"}, key="k")
        assert outcome.state is SagaState.COMPLETED
        assert outcome.results == {"quick": {"to": "Lisbon"}}
        found = await store.get("book", "k")
        assert (found.saga, found.key, found.state) == ("book", "k", "completed")
        assert (found.is_owned, found.crashes, found.step, found.error) == (False, 0, None, None)
        assert found.context == b'{"to":"Lisbon"}'
        assert found.changed_at >= found.started_at > 1_600_000_000


async def test_what_is_started_first_is_run_by_who_started_it(url, monkeypatch):
    owners = []
    booking = saga_of(quick)
    async with SagaStore.open(url, sagas=[booking]) as store:
        start = type(store.engine).start

        def noted(engine, new, owner):
            owners.append(owner)
            return start(engine, new, owner)

        monkeypatch.setattr(type(store.engine), "start", noted)
        # At once: whoever else has the file open would take one that is nobody's.
        await store.run(booking, 1, key="k")
    [owner] = owners
    assert owner is not None


async def test_the_same_key_is_the_same_run(url):
    ran = []

    async def count(context):
        ran.append(context)

    booking = saga_of(count)
    async with SagaStore.open(url, sagas=[booking]) as store:
        first = await store.start(booking, 1, key="k")
        second = await store.start(booking, 1, key="k")
        assert (first.is_new, second.is_new) == (True, False)
        assert await first.outcome() == await second.outcome()
        assert (await store.start(booking, 1, key="k")).is_new is False, "when it has ended, too"
        with pytest.raises(Conflict, match="key 'k' was started with another context"):
            await store.start(booking, 2, key="k")
    assert ran == [1]


async def test_many_callers_of_one_key(url):
    ran, outcomes = [], []

    async def count(context):
        ran.append(context)
        return len(ran)

    booking = saga_of(count)
    async with SagaStore.open(url, sagas=[booking]) as store:

        async def call():
            outcomes.append(await store.run(booking, "x", key="k"))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)
    assert ran == ["x"]
    assert {outcome.results["count"] for outcome in outcomes} == {1}
    assert len(outcomes) == 50


async def test_without_a_key_each_run_is_its_own(url):
    booking = saga_of(quick)
    async with SagaStore.open(url, sagas=[booking]) as store:
        one, two = await store.run(booking, 1), await store.run(booking, 1)
    assert one.key != two.key


async def test_the_same_key_in_two_sagas(url):
    one, two = saga_of(quick), saga_of(quick, name="refund")
    async with SagaStore.open(url, sagas=[one, two]) as store:
        await store.run(one, 1, key="k")
        await store.run(two, 2, key="k")
        assert await store.counts() == {"book": {"completed": 1}, "refund": {"completed": 1}}


async def test_a_failure_comes_out_of_run_and_not_of_the_handle(url):
    booking = saga_of(quick, fails)
    async with SagaStore.open(url, sagas=[booking]) as store:
        handle = await store.start(booking, "Ada", key="k")
        with pytest.raises(ValueError, match="no room for Ada") as caught:
            await store.run(booking, "Ada", key="k")
        assert caught.value.__notes__ == ["saga 'book', key 'k': what had been done is compensated"]
        outcome = await handle.outcome()
        assert outcome.state is SagaState.COMPENSATED
        assert (outcome.step, outcome.error) == ("fails", "ValueError: no room for Ada")
        assert outcome.exception is caught.value
        assert outcome.results == {"quick": "Ada"}


async def test_many_who_wait_for_a_failure_get_one_note(url):
    go = anyio.Event()
    caught = []

    async def waits(context):
        await go.wait()
        raise Abort("no seat")

    booking = saga_of(waits)
    async with SagaStore.open(url, sagas=[booking]) as store:
        handle = await store.start(booking, 1, key="k")

        async def call():
            with pytest.raises(Abort) as each:
                await store.run(booking, 1, key="k")
            caught.append(each.value)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert handle.key == "k"
    assert [len(each.__notes__) for each in caught] == [1] * 5


async def test_a_failure_that_was_elsewhere(file):
    booking = saga_of(fails)
    async with SagaStore.open(file, sagas=[booking]) as store:
        with pytest.raises(ValueError, match="no room"):
            await store.run(booking, "Ada", key="k")
    async with SagaStore.open(file, sagas=[booking]) as store:
        with pytest.raises(SagaCompensated, match=r"step 'fails' failed \(ValueError: no room"):
            await store.run(booking, "Ada", key="k")
        outcome = await (await store.start(booking, "Ada", key="k")).outcome()
        assert (outcome.state, outcome.step) == ("compensated", "fails")
        assert outcome.exception is None


async def test_so_many_at_a_time_and_the_rest_after_them(url):
    running, most, ended = 0, 0, 0
    full = anyio.Event()

    async def counts(context):
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        if most == 3:
            full.set()
        await full.wait()
        await anyio.lowlevel.checkpoint()
        running -= 1
        ended += 1

    booking = saga_of(counts, quick)
    async with SagaStore.open(url, sagas=[booking], concurrency=3) as store:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(store.run, booking, number)
        assert await store.counts() == {"book": {"completed": 40}}
    assert (most, ended) == (3, 40)


async def test_a_start_beyond_the_bound_is_committed_at_once(url):
    begun, go = anyio.Event(), anyio.Event()

    async def waits(context):
        begun.set()
        await go.wait()

    booking = saga_of(waits)
    async with SagaStore.open(url, sagas=[booking], concurrency=1) as store:
        handles = [await store.start(booking, number, key=str(number)) for number in range(4)]
        await begun.wait()
        assert [each.is_owned for each in (await store.list()).items].count(True) == 1
        go.set()
        for handle in handles:
            assert (await handle.outcome()).state == "completed"


async def test_what_waits_for_a_place_comes_before_what_is_started_later(url):
    order = []
    begun, go = anyio.Event(), anyio.Event()

    async def note(context):
        order.append(context)
        if context == 0:
            begun.set()
            await go.wait()

    booking = saga_of(note)
    async with SagaStore.open(url, sagas=[booking], concurrency=2) as store:
        await store.start(booking, 0, key="0")
        await begun.wait()
        store.concurrency = 1  # One runs, and there is no place for more.
        await store.start(booking, 1, key="1")
        store.concurrency = 2
        late = await store.start(booking, 2, key="2")
        go.set()
        await late.outcome()
        await store.recover()
    assert order == [0, 1, 2]


async def test_a_backlog_of_one_saga_starves_no_other(url):
    order = []

    async def note(context):
        order.append(context)

    first, second = saga_of(note, name="first"), saga_of(note, name="second")
    begun, go = anyio.Event(), anyio.Event()
    block = Saga("block")

    @block.step()
    async def wait(context):
        begun.set()
        await go.wait()

    async with SagaStore.open(url, sagas=[first, second, block], concurrency=1) as store:
        blocker = await store.start(block, None)
        await begun.wait()
        for number in range(20):
            await store.start(first, f"first {number}")
        handle = await store.start(second, "second")
        go.set()
        await blocker.outcome()
        await handle.outcome()
        assert order.index("second") < 5
        await store.recover()
    assert len(order) == 21


async def test_pages(url):
    booking, refund = saga_of(quick), saga_of(fails, name="refund")
    async with SagaStore.open(url, sagas=[booking, refund]) as store:
        for number in range(5):
            await (await store.start(booking, number, key=f"b{number}")).outcome()
            await (await store.start(refund, number, key=f"r{number}")).outcome()
        keys, after = [], None
        while True:
            page = await store.list(limit=3, after=after)
            assert len(page.items) <= 3
            assert page.ids == tuple(each.key for each in page.items)
            keys += page.ids
            after = page.next
            if after is None:
                break
        assert keys == [f"{name}{number}" for number in range(5) for name in "br"]
        page = await store.list(saga="refund", state="compensated", limit=5)
        assert ([each.saga for each in page.items], page.next) == (["refund"] * 5, None)
        assert (await store.list(state="parked")).items == ()
        assert (await store.list(saga="refund", state="completed")).items == ()
        for limit in (0, 10_001, True, "3"):
            with pytest.raises(Misuse, match="limit="):
                await store.list(limit=limit)
        with pytest.raises(Misuse, match="after='x' is not the `next` of a page"):
            await store.list(after="x")


async def test_history(url):
    booking = Saga("book")

    async def undo(context):
        return "undone"

    async def again(context):
        from penstock import saga

        if saga.current().attempt < 2:
            raise OSError("once more")
        return {"seat": 7}

    booking.add_step("a", again, compensate=undo, retry=Retry(attempts=2, delay=0))
    booking.add_step("b", fails)
    async with SagaStore.open(url, sagas=[booking]) as store:
        await (await store.start(booking, "Ada", key="k")).outcome()
        history = await store.history("book", "k")
        assert [(each.step, each.phase, each.attempt, each.state) for each in history] == [
            ("a", "do", 1, "failed"),
            ("a", "do", 2, "done"),
            ("b", "do", 1, "failed"),
            ("a", "undo", 1, "done"),
        ]
        assert [each.error for each in history] == [
            "OSError: once more", None, "ValueError: no room for Ada", None,
        ]  # fmt: skip
        assert [each.result for each in history] == [None, b'{"seat":7}', None, b'"undone"']
        assert "in again" in history[0].traceback
        assert all(each.seconds >= 0 and each.at > 1_600_000_000 for each in history)
        with pytest.raises(KeyError):
            await store.history("book", "another")
        assert await store.get("book", "another") is None


async def test_a_store_that_is_closed(url):
    booking = saga_of(quick)
    store = SagaStore.open(url, sagas=[booking])
    with pytest.raises(Closed, match=r"<SagaStore .*> is not open"):
        await store.start(booking, 1)
    async with store:
        assert store.health()
        handle = await store.start(booking, 1)
        await handle.outcome()
    assert not store.health()
    for call in (
        lambda: store.start(booking, 1),
        lambda: store.run(booking, 1),
        store.list,
        lambda: store.get("book", "k"),
        lambda: store.history("book", "k"),
        lambda: store.resume("book", "k"),
        store.counts,
        store.recover,
        lambda: store.transact(lambda transaction: 1),
    ):
        with pytest.raises(Closed):
            await call()
    assert (await handle.outcome()).state == "completed", "what is known is known"
    with pytest.raises(Misuse, match="opened before"):
        async with store:
            pass


async def test_a_saga_it_was_not_opened_with(url):
    booking, other = saga_of(quick), saga_of(quick)
    async with SagaStore.open(url, sagas=[booking]) as store:
        with pytest.raises(Misuse, match="not one of those it was opened with"):
            await store.start(other, 1)


async def test_a_store_of_no_sagas_looks_and_runs_nothing(file):
    booking = saga_of(quick)
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.run(booking, 1, key="k")
    async with SagaStore.open(file, sagas=[]) as store:
        await store.recover()
        assert (await store.get("book", "k")).state == "completed"


async def test_one_saga_in_two_stores(file, tmp_path):
    booking = saga_of(quick)
    async with (
        SagaStore.open(file, sagas=[booking]) as one,
        SagaStore.open(f"sqlite:///{tmp_path}/other.db", sagas=[booking]) as two,
        SagaStore.open("memory://", sagas=[booking]) as three,
    ):
        for number, store in enumerate((one, two, three)):
            assert (await store.run(booking, number, key="k")).results == {"quick": number}


async def test_two_stores_on_one_file_share_the_work(file):
    ran: dict[str, int] = {}
    barrier = anyio.Event()

    async def count(context):
        ran[context] = ran.get(context, 0) + 1
        if len(ran) == 4:
            barrier.set()
        await barrier.wait()

    booking = saga_of(count)
    async with (
        SagaStore.open(file, sagas=[booking], concurrency=2) as one,
        SagaStore.open(file, sagas=[booking], concurrency=2) as two,
    ):
        # Two at a time in each: only together can they have four.
        handles = [await one.start(booking, f"k{number}") for number in range(4)]
        for handle in handles:
            assert (await handle.outcome()).state == "completed"
        assert two.health()
    assert ran == {f"k{number}": 1 for number in range(4)}


async def test_memories_of_one_name_are_one_store():
    booking, refund = saga_of(quick), saga_of(quick, name="refund")
    async with (
        SagaStore.open("memory://shared", sagas=[booking]) as one,
        SagaStore.open("memory://shared", sagas=[refund]) as two,
        SagaStore.open("memory://", sagas=[refund]) as three,
    ):
        await one.run(booking, 1, key="k")
        assert (await two.get("book", "k")).state == "completed"
        assert await three.get("book", "k") is None


async def test_what_another_process_left_is_gone_on_with(file):
    """Started where nobody knew the saga: run as soon as a store does."""
    booking = saga_of(quick)
    begun, go = anyio.Event(), anyio.Event()

    async def waits(context):
        begun.set()
        await go.wait()

    same = saga_of(waits, name="block")
    async with SagaStore.open(file, sagas=[booking, same], concurrency=1) as store:
        blocker = await store.start(same, None)
        await begun.wait()
        handles = [await store.start(booking, number, key=str(number)) for number in range(5)]
        async with SagaStore.open(file, sagas=[booking]) as other:
            await other.recover()
            for handle in handles:
                assert (await handle.outcome()).state == "completed"
        go.set()
        await blocker.outcome()


async def test_recover_waits_for_what_is_due(file):
    ended = []

    async def note(context):
        ended.append(context)

    booking = saga_of(note)
    async with SagaStore.open(file, sagas=[booking]) as store:
        await store.recover()
        for number in range(20):
            await store.start(booking, number)
        await store.recover()
        assert sorted(ended) == list(range(20))
