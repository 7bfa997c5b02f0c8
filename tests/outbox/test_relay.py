"""A relay publishes what was committed, in order for each key, and ends without losing any."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict

import anyio
import pytest

from penstock import Message, MessageQueue, Outbox, Relay, Retry, Service, metrics
from penstock._durable.writes import Kind, Write
from penstock.errors import Closed, EngineError, Misuse
from penstock.outbox import Event


async def test_what_is_committed_is_published_and_gone(book, ledger, until):
    async with book.relay(ledger) as relay:
        ids = book.add({"n": 1}, {"n": 2}, key="k")
        await until(relay, backlog=0)
        assert (await relay.statistics()).published == 2
    first, second = ledger.events
    assert [first.id, second.id] == ids
    assert (first.topic, first.key, first.data, first.attempt) == ("placed", "k", {"n": 1}, 1)
    assert dict(first.headers) == {}
    assert first.fence == 1
    assert book.backlog() == 0


async def test_what_is_rolled_back_is_not_published(book, ledger, until):
    async with book.relay(ledger) as relay:
        for number in range(20):
            book.connection.execute("BEGIN IMMEDIATE")
            book.outbox.add(book.connection, topic="placed", payload=number)
            book.connection.execute("ROLLBACK" if number % 2 else "COMMIT")
        await until(relay, backlog=0, published=10)
    assert sorted(ledger.data) == list(range(0, 20, 2))


async def test_an_open_transaction_is_not_published_before_its_commit(book, ledger, until):
    async with book.relay(ledger) as relay:
        await until(relay, is_active=True)
        book.connection.execute("BEGIN IMMEDIATE")
        book.outbox.add(book.connection, topic="placed", payload=1)
        for _ in range(20):
            # A reading look; what waits for the write lock would hold this up.
            assert (await relay.statistics()).backlog == 0
        book.connection.execute("COMMIT")
        await until(relay, published=1, backlog=0)
    assert ledger.data == [1]


async def test_order_by_key_many_keys_side_by_side(book, until):
    order: dict[str, list[int]] = defaultdict(list)
    under_way: set[str] = set()
    most = 0

    async def publish(event: Event[int]) -> None:
        nonlocal most
        assert event.key not in under_way, "one event of a key at a time"
        under_way.add(event.key)
        most = max(most, len(under_way))
        for _ in range(event.data % 3):
            await anyio.lowlevel.checkpoint()
        order[event.key].append(event.data)
        under_way.remove(event.key)

    for number in range(200):
        book.add(number, key=f"k{number % 7}")
    async with book.relay(publish, concurrency=4) as relay:
        await until(relay, backlog=0)
    assert order == {f"k{key}": list(range(key, 200, 7)) for key in range(7)}
    assert 1 < most <= 4, "side by side, and bounded"


async def test_events_without_a_key_do_not_wait_for_each_other(book, until):
    others = anyio.Event()

    async def publish(event: Event[int]) -> None:
        if event.data == 0:
            await others.wait()
        elif event.data == 9:
            others.set()

    book.add(*range(10))
    async with book.relay(publish) as relay:
        await until(relay, backlog=0)


@pytest.mark.parametrize("to", ["same", "other"])
async def test_into_a_message_queue(book, tmp_path, until, to):
    url = book.url if to == "same" else f"sqlite:///{tmp_path}/jobs.db"
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append((message.key, message.data, message.id, message.headers["topic"]))

    ids = []
    queue = MessageQueue[int]("orders", url, type=int)
    async with book.relay(queue) as relay:
        for number in range(50):
            ids += book.add(number, key=f"k{number % 3}", topic=f"t{number % 2}")
        await until(relay, backlog=0)
    async with queue:
        assert (await queue.statistics()).depth == 50
        async with queue.consumer(handle):
            while (await queue.statistics()).depth:
                await anyio.lowlevel.checkpoint()
    assert sorted(each[2] for each in seen) == sorted(ids)
    for key in range(3):
        got = [data for name, data, *_ in seen if name == f"k{key}"]
        assert got == list(range(key, 50, 3))
    assert all(topic == f"t{data % 2}" for _, data, _, topic in seen)


async def test_more_than_is_held_at_once(book, ledger, until):
    book.add(*[[number, "x" * 100] for number in range(100)], key="k")
    async with book.relay(ledger, max_items=3, max_bytes=250) as relay:
        await until(relay, backlog=0)
    assert [number for number, _ in ledger.data] == list(range(100))


async def test_what_the_stores_own_writer_commits_is_published_at_once(book, ledger, until):
    """Its commits do not show in data_version: nobody would ever look."""

    def add(session, _now, numbers):
        return [
            book.outbox.add(session.connection, topic="placed", payload=number)
            for number in numbers
        ]

    kind = Kind("transact", add)
    async with book.relay(ledger) as relay:
        await until(relay, is_active=True)
        for number in range(5):
            assert await relay.store.writer.run(Write(kind, number))
            while len(ledger.data) <= number:
                await anyio.lowlevel.checkpoint()
        await until(relay, backlog=0)


async def test_another_process_is_noticed(book, ledger, until):
    """By the version of the file alone: nothing wakes the relay here."""
    async with book.relay(ledger) as relay:
        await until(relay, is_active=True)
        while relay._incarnation._asleep is None:
            await anyio.lowlevel.checkpoint()
        book.add(1)
        while not ledger.data:
            await anyio.lowlevel.checkpoint()


async def test_drain_lets_what_is_under_way_end_and_begins_nothing_more(book, until):
    begun, go = anyio.Event(), anyio.Event()
    done = []

    async def publish(event: Event[int]) -> None:
        begun.set()
        await go.wait()
        done.append(event.data)

    book.add(*range(10), key="k")
    relay = book.relay(publish)
    async with anyio.create_task_group() as group:
        await relay.start()
        await begun.wait()

        async def let_go() -> None:
            await until(relay, backlog=10)
            go.set()

        group.start_soon(let_go)
        await relay.drain()
    assert done == [0]
    assert book.backlog() == 9, "what was published is written down"


@pytest.mark.parametrize("target", ["function", "queue"])
async def test_drain_under_load(book, target, tmp_path):
    """Drained again and again while events come, nothing is lost and nothing published twice."""
    got = []

    async def publish(event: Event[int]) -> None:
        await anyio.lowlevel.checkpoint()
        got.append(event.data)

    queue = MessageQueue[int]("orders", f"sqlite:///{tmp_path}/jobs.db")
    added = 0
    for _ in range(10):
        async with book.relay(publish if target == "function" else queue):
            for _ in range(10):
                book.add(added, key=f"k{added % 3}")
                added += 1
                await anyio.lowlevel.checkpoint()
    async with book.relay(publish if target == "function" else queue):
        while book.backlog():
            await anyio.lowlevel.checkpoint()
    if target == "queue":
        async with queue:
            assert (await queue.statistics()).depth == added
    else:
        assert sorted(got) == list(range(added))


@pytest.mark.parametrize("target", ["function", "queue"])
async def test_cancelled_at_every_moment_nothing_is_lost(book, target, tmp_path, until):
    """The function may be called twice for one event, a queue never holds one twice."""
    got = []

    async def publish(event: Event[int]) -> None:
        await anyio.lowlevel.checkpoint()
        got.append(event.data)

    queue = MessageQueue[int]("orders", f"sqlite:///{tmp_path}/jobs.db")
    to = publish if target == "function" else queue
    for turns in range(60):
        book.add(turns, key=f"k{turns % 3}")
        async with anyio.create_task_group() as group:
            group.start_soon(book.relay(to).run)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
                if turns > 20:
                    await anyio.sleep(0.0002)
            group.cancel_scope.cancel()
    async with book.relay(to) as relay:
        await until(relay, backlog=0)
    if target == "queue":
        async with queue:
            assert (await queue.statistics()).depth == 60
        return
    assert set(got) == set(range(60))
    for key in range(3):
        first = [number for number in dict.fromkeys(got) if number % 3 == key]
        assert first == sorted(first)


async def test_what_was_published_is_not_published_again_after_a_cancel(book, until):
    """Cancelled at every moment after the function has returned: that is written all the same."""
    got = []

    async def publish(event: Event[int]) -> None:
        got.append(event.data)

    for turns in range(30):
        book.add(turns)
        async with anyio.create_task_group() as group:
            group.start_soon(book.relay(publish).run)
            while len(got) <= turns:
                await anyio.lowlevel.checkpoint()
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert book.backlog() == 0
    assert got == list(range(30))


async def test_native_cancellation_on_asyncio(book):
    async def main() -> None:
        begun = asyncio.Event()

        async def publish(event: Event[int]) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(book.relay(publish).run())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    book.add(1)
    await anyio.to_thread.run_sync(asyncio.run, main())
    assert book.backlog() == 1
    holder = book.connection.execute("SELECT owner FROM penstock_outbox").fetchone()
    assert holder == (None,), "given up at once"


async def test_a_cancellation_that_the_function_met_by_itself_is_no_failure(book, until):
    async def main() -> None:
        calls = 0

        async def publish(event: Event[int]) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future

        async with book.relay(publish, retry=Retry(delay=0.0)) as relay:
            found = await until(relay, backlog=0)
        assert (calls, found.failed) == (2, 0)

    book.add(1)
    await anyio.to_thread.run_sync(asyncio.run, main())


async def test_two_relays_one_works_and_the_other_takes_over_when_it_ends(book, until):
    got = {"one": [], "two": []}

    def target(name):
        async def publish(event: Event[int]) -> None:
            got[name].append(event.data)

        return publish

    one = book.relay(target("one"), lease=300.0)
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        book.add(0, key="k")
        while not got["one"]:
            await anyio.lowlevel.checkpoint()
        async with book.relay(target("two")) as two:
            for number in range(1, 50):
                book.add(number, key="k")
            await until(two, backlog=0)
            assert not (await two.statistics()).is_active
            assert got == {"one": list(range(50)), "two": []}
            await one.drain()
            book.add(50, key="k")
            await until(two, backlog=0, is_active=True)
    assert got == {"one": list(range(50)), "two": [50]}


async def test_one_that_is_told_of_another_one_stands_by(book, until):
    """Whatever its own clock says: it learns of it with the next round trip."""
    fences = []

    async def publish(event: Event[int]) -> None:
        fences.append(event.fence)

    book.add(0, key="k")
    async with book.relay(publish, lease=300.0) as relay:
        await until(relay, backlog=0)
        book.connection.execute(
            "UPDATE penstock_outbox SET owner = 'other', fence = 7, until = ?",
            (time.time() + 1000,),
        )
        book.add(1, key="k")
        await until(relay, is_active=False)
        assert (await relay.statistics()).backlog == 1
        book.connection.execute("UPDATE penstock_outbox SET until = 0")
        await until(relay, backlog=0, is_active=True)
    assert fences == [1, 8]


async def test_a_blocked_loop_begins_nothing_under_a_lost_lease(book, until):
    fenced = []

    async def publish(event: Event[int]) -> None:
        fenced.append((event.data, event.is_fenced))
        if event.data == 0:
            time.sleep(1.5)  # noqa: ASYNC251 (that is the fault)
            assert event.is_fenced

    book.add(0, 1, 2, key="k")
    async with book.relay(publish, lease=0.6, concurrency=1) as relay:
        await until(relay, backlog=0)
    assert fenced == [(0, False), (1, False), (2, False)]


async def test_relays_that_wait_do_not_write(book, ledger, until):
    """Neither the one that has the outbox nor the one that stands by, whoever else commits."""

    def written() -> int:
        query = "SELECT coalesce(sum(number), 0) FROM penstock_flush"
        return int(book.connection.execute(query).fetchone()[0])

    async with book.relay(ledger, lease=300.0) as one:  # to renew it is to write
        await until(one, is_active=True)
        async with book.relay(ledger) as two:
            assert not (await two.statistics()).is_active
            before = written()
            for _ in range(20):
                book.connection.execute("INSERT INTO orders (value) VALUES (1)")
                await two.statistics()
            assert written() == before


async def test_it_is_a_part_of_a_service(book, ledger):
    service = Service("orders")
    service.add(book.relay(ledger))
    async with service:
        book.add(1)
        while not ledger.data:
            await anyio.lowlevel.checkpoint()
        assert service.health().parts[0].name == "relay of orders"
    assert book.backlog() == 0


def not_async(event: Event[int]) -> None:
    return None


async def test_a_function_that_is_not_async_ends_the_relay(book):
    book.add(1)
    with pytest.raises(Misuse, match=r"not_async.* returned None, nothing to await"):
        await book.relay(not_async).run()
    with pytest.raises(Misuse, match="nothing to await"):
        async with book.relay(not_async):
            await anyio.sleep_forever()
    assert book.backlog() == 1


async def generator(event: Event[int]):
    yield


class Bytes:
    content_type = "application/octet-stream"

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, payload: bytes) -> bytes:
        return payload


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"to": 7}, "to=7"),
        ({"to": generator}, "to="),
        ({"outbox": "orders"}, "outbox is 'orders'"),
        ({"source": "orders.db"}, "no engine"),
        ({"retry": 3}, "retry=3"),
        ({"on_poison": "skip"}, "on_poison='skip'"),
        ({"lease": 0}, "lease=0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"max_items": True}, "max_items=True"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"to": MessageQueue("a", "memory://", codec=Bytes())}, "reads application/octet-stream"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_given(arguments, named):
    given = {"outbox": Outbox("orders"), "source": "memory://", "to": not_async, **arguments}
    with pytest.raises(Misuse) as caught:
        Relay(**given)
    assert named in str(caught.value)


async def test_a_store_that_cannot_be_opened_is_said_at_the_start(book, tmp_path, ledger):
    with pytest.raises(EngineError, match="is a folder"):
        await Relay(book.outbox, f"sqlite:///{tmp_path}", ledger).start()
    bad = MessageQueue("a", f"sqlite:///{tmp_path}")
    with pytest.raises(EngineError, match="is a folder"):
        await book.relay(bad).run()
    with pytest.raises(Closed, match="does not run"):
        await book.relay(ledger).statistics()


async def test_it_makes_its_tables(tmp_path, ledger):
    relay = Relay(Outbox("orders"), f"sqlite:///{tmp_path}/new.db", ledger)
    async with relay:
        assert (await relay.statistics()).backlog == 0
        connection = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        Outbox("orders").add(connection, topic="placed", payload=1)
        connection.execute("COMMIT")
        connection.close()
        while not ledger.data:
            await anyio.lowlevel.checkpoint()


async def test_outboxes_of_one_file_are_apart(book, ledger, until):
    other = Outbox("other")
    other.create_tables(book.connection)
    book.connection.execute("BEGIN IMMEDIATE")
    other.add(book.connection, topic="placed", payload="of the other")
    book.connection.execute("COMMIT")
    book.add(1, 2)
    async with book.relay(ledger) as relay:
        await until(relay, backlog=0)
    assert sorted(ledger.data) == [1, 2]
    assert book.backlog() == 1


async def test_it_is_counted(book, ledger, until):
    def value(name: str) -> float:
        series = metrics.snapshot()[name].series
        return sum(each.value for each in series if each.labels == {"outbox": "orders"})

    book.add(0)
    async with book.relay(ledger) as relay:
        await until(relay, backlog=0)
        before = value("penstock_outbox_published")
        book.add(1, 2)
        found = await until(relay, backlog=0, published=3)
    assert found.oldest is None
    assert value("penstock_outbox_published") == before + 2
    lag = metrics.snapshot()["penstock_outbox_lag_seconds"].series[0]
    assert lag.count >= 3
    assert 0 <= lag.max < 60
