"""With a store's own transactions: one commit for its steps, the user's rows and the events."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from penstock import Inbox, Outbox, Relay, Saga, SagaStore, saga, tracing
from penstock.tracing import SpanStore, Tracer


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/trips.db"


outbox = Outbox[Any]("trips")
inbox = Inbox("billing")


def create(tx: Any) -> None:
    outbox.create_tables(tx)
    inbox.create_tables(tx)
    tx.execute("CREATE TABLE IF NOT EXISTS trips (name TEXT)")


def book(tx: Any, name: str, *, fails: bool = False) -> str:
    tx.execute("INSERT INTO trips VALUES (?)", (name,))
    event = outbox.add(tx, topic="booked", key=name, payload=name)
    if fails:
        raise ValueError("no such trip")
    return event


def count(tx: Any, table: str) -> int:
    return int(tx.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_events_of_a_stores_transactions_are_published_at_once(url, ledger, until):
    async with SagaStore.open(url, sagas=[]) as store, Relay(outbox, url, ledger) as relay:
        await store.transact(create)
        await until(relay, is_active=True)
        for number in range(5):
            await store.transact(book, f"trip {number}")
            while len(ledger.events) <= number:
                await anyio.lowlevel.checkpoint()
        await until(relay, backlog=0)
    assert ledger.data == [f"trip {number}" for number in range(5)]


def fail(tx: Any, name: str) -> str:
    return book(tx, name, fails=True)


async def test_a_transaction_that_raised_publishes_nothing(url, ledger, until):
    async with SagaStore.open(url, sagas=[]) as store, Relay(outbox, url, ledger) as relay:
        await store.transact(create)
        async with anyio.create_task_group() as group:
            for number in range(10):  # side by side, so that they share commits
                group.start_soon(store.transact, book, f"kept {number}")
        for number in range(3):
            with pytest.raises(ValueError, match="no such trip"):
                await store.transact(fail, f"gone {number}")
        await until(relay, backlog=0)
        assert await store.transact(count, "trips") == 10
    assert sorted(ledger.data) == [f"kept {number}" for number in range(10)]


def mark(tx: Any, message: str) -> bool:
    first = inbox.first(tx, message)
    with inbox.once(tx, message) as again:
        assert not again
    return first


async def test_the_inbox_marks_in_a_stores_transaction(url):
    async with SagaStore.open(url, sagas=[]) as store:
        await store.transact(create)
        assert await store.transact(mark, "m-1")
        assert not await store.transact(mark, "m-1")
        assert await store.transact(count, "penstock_inbox") == 1


async def test_a_step_and_its_event_are_one_and_the_trace_goes_on(url, ledger, until):
    booking = Saga("book-trip")

    @booking.step()
    async def reserve(trip: dict[str, Any]) -> str:
        return await saga.current().transact(book, trip["name"])

    tracer = Tracer("tests", store=SpanStore())
    async with SagaStore.open(url, sagas=[booking]) as store, Relay(outbox, url, ledger) as relay:
        await store.transact(create)
        with tracer.span("request") as request:
            outcome = await store.run(booking, {"name": "rome"}, key="trip-1")
        await until(relay, backlog=0)
    (event,) = ledger.events
    assert outcome.results["reserve"] == event.id
    spans = {span.name: span for span in tracing.default_store().trace(request.trace_id)}
    assert "publish booked" in spans, "from the request through the saga to the relay"
    assert spans["publish booked"].parent_id in {span.span_id for span in spans.values()}
