"""Events that leave the process, and come back, with the same emit."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import anyio
import pytest

from penstock import EventBus, MessageQueue, Outbox, Relay
from penstock.errors import Misuse

from .recorder import hint_of


@dataclass
class OrderPlaced:
    id: str
    total: int


async def test_to_a_message_queue_and_on_another_bus():
    here, there = EventBus("here"), EventBus("there")
    arrived = anyio.Event()
    seen = []

    async def handler(data, name):
        seen.append((name, data))
        arrived.set()

    there.on("order.*", handler)
    async with MessageQueue("events", "memory://") as queue:
        here.bridge("order.*", to=queue, key=lambda data: data["id"])
        outcomes = await here.emit("order.placed", {"id": "o-1"})
        assert outcomes.is_ok
        assert isinstance(outcomes[0].result, str)
        await here.emit("user.created", {})
        consumer = queue.consumer(there.receiver())
        async with anyio.create_task_group() as group:
            group.start_soon(consumer.run)
            with anyio.fail_after(10):
                await arrived.wait()
            group.cancel_scope.cancel()
    assert seen == [("order.placed", {"id": "o-1"})]


async def test_objects_go_by_the_queues_type():
    bus, there = EventBus("here"), EventBus("there")
    arrived = anyio.Event()
    seen = []

    async def handler(event: OrderPlaced):
        seen.append(event)
        arrived.set()

    there.on(OrderPlaced, handler)
    async with MessageQueue("events", "memory://", type=OrderPlaced) as queue:
        bus.bridge(OrderPlaced, to=queue)
        await bus.emit(OrderPlaced("o-1", 5))
        async with anyio.create_task_group() as group:
            group.start_soon(queue.consumer(there.receiver()).run)
            with anyio.fail_after(10):
                await arrived.wait()
            group.cancel_scope.cancel()
    assert seen == [OrderPlaced("o-1", 5)]


async def test_what_cannot_be_enqueued_is_the_bridges_outcome():
    bus = EventBus("here")
    queue = MessageQueue("events", "memory://")
    bus.bridge("x", to=queue)
    heard = []
    bus.on("x", heard.append, inline=True)
    outcomes = await bus.emit("x", 1)  # it is not open
    assert len(outcomes.errors) == 1
    assert heard == [1]


async def test_a_failing_handler_has_the_message_tried_again():
    bus = EventBus("again")
    attempts = []
    arrived = anyio.Event()

    async def handler(data):
        attempts.append(data)
        if len(attempts) < 2:
            raise ConnectionError
        arrived.set()

    bus.on("order.placed", handler)
    from penstock import Retry

    async with MessageQueue("events", "memory://", retry=Retry(attempts=3, delay=0.0)) as queue:
        await queue.enqueue({"id": 1})
        async with anyio.create_task_group() as group:
            group.start_soon(queue.consumer(bus.receiver("order.placed")).run)
            with anyio.fail_after(10):
                await arrived.wait()
            group.cancel_scope.cancel()
    assert attempts == [{"id": 1}, {"id": 1}]


async def test_what_came_from_a_queue_is_not_sent_back_there():
    bus = EventBus("both ways")
    seen = []
    arrived = anyio.Event()

    async def handler(data):
        seen.append(data)
        arrived.set()

    async with MessageQueue("events", "memory://") as queue:
        bus.bridge("x", to=queue)
        await queue.enqueue(1, headers={"penstock-event": "x"})
        bus.on("x", handler, priority=-1)
        async with anyio.create_task_group() as group:
            group.start_soon(queue.consumer(bus.receiver(queue=queue)).run)
            with anyio.fail_after(10):
                await arrived.wait()
                while (await queue.statistics()).ready:  # noqa: ASYNC110 - it has no event
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert seen == [1]


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


async def test_to_an_outbox_within_a_transaction(connection):
    bus = EventBus("orders")
    outbox = Outbox("orders")
    outbox.create_tables(connection)
    connection.execute("CREATE TABLE orders (id TEXT)")
    off = bus.bridge("order.*", to=outbox, key=lambda data: data["id"])
    heard = []
    bus.on("order.placed", heard.append, inline=True)

    def rows():
        found = connection.execute(
            "SELECT topic, key, payload FROM penstock_outbox_event ORDER BY seq"
        )
        return [(topic, key, bytes(payload)) for topic, key, payload in found]

    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO orders VALUES ('o-1')")
    outcomes = await bus.within(connection).emit("order.placed", {"id": "o-1"})
    assert outcomes.is_ok
    assert heard == [{"id": "o-1"}]
    connection.execute("ROLLBACK")
    assert rows() == []

    connection.execute("BEGIN IMMEDIATE")
    await bus.within(connection).emit("order.placed", {"id": "o-2"})
    connection.execute("COMMIT")
    assert rows() == [("order.placed", "o-2", b'{"id":"o-2"}')]

    off()
    await bus.emit("order.placed", {"id": "o-3"})
    assert len(rows()) == 1


async def test_an_event_for_an_outbox_without_a_transaction_is_refused_before_anybody_hears(
    connection,
):
    bus = EventBus("orders")
    outbox = Outbox("orders")
    outbox.create_tables(connection)
    heard = []
    bus.on("order.placed", heard.append, inline=True, priority=9)
    bus.bridge("order.placed", to=outbox)
    with pytest.raises(Misuse, match="in a transaction of yours") as caught:
        await bus.emit("order.placed", {})
    assert "bus.within" in hint_of(caught.value)
    # Nor does one that is in no transaction reach anybody, nor data that cannot be written.
    with pytest.raises(Misuse, match="is not in a transaction"):
        await bus.within(connection).emit("order.placed", {})
    connection.execute("BEGIN")
    with pytest.raises(Misuse, match="cannot be encoded"):
        await bus.within(connection).emit("order.placed", object())
    assert heard == []


async def test_from_the_outbox_by_a_relay_to_another_bus(tmp_path):
    path = tmp_path / "orders.db"
    connection = sqlite3.connect(path, isolation_level=None)
    outbox = Outbox("orders")
    outbox.create_tables(connection)
    here, there = EventBus("here"), EventBus("there")
    here.bridge("order.*", to=outbox)
    arrived = anyio.Event()
    seen = []

    async def handler(data, name):
        seen.append((name, data))
        arrived.set()

    there.on("order.*", handler)
    connection.execute("BEGIN IMMEDIATE")
    async with here:
        here.within(connection).emit_nowait("order.placed", {"id": "o-1"})
        connection.execute("COMMIT")
    connection.close()
    async with (
        MessageQueue("events", "memory://") as queue,
        Relay(outbox, f"sqlite:///{path}", to=queue),
        anyio.create_task_group() as group,
    ):
        group.start_soon(queue.consumer(there.receiver()).run)
        with anyio.fail_after(10):
            await arrived.wait()
        group.cancel_scope.cancel()
    assert seen == [("order.placed", {"id": "o-1"})]
