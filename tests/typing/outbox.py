"""An outbox's type is what goes in, and what a function that publishes gets."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import assert_type

from penstock import Inbox, Message, MessageQueue, Outbox, Page, Relay, Retry
from penstock.outbox import DeadEvent, Event, NewEvent, RelayStatistics
from penstock.saga import Transaction


@dataclass
class Order:
    id: str


outbox = Outbox("orders", type=Order)
assert_type(outbox, Outbox[Order])
inbox = Inbox("billing")
connection = sqlite3.connect(":memory:", isolation_level=None)


async def publish(event: Event[Order]) -> None:
    assert_type(event.data, Order)
    assert_type(event.key, str | None)


async def wrong(event: Event[int]) -> None:
    pass


def write() -> None:
    outbox.create_tables(connection)
    assert_type(outbox.add(connection, topic="placed", payload=Order("a")), str)
    outbox.add(connection, topic="placed", payload="a")  # type: ignore[arg-type]
    outbox.add("orders.db", topic="placed", payload=Order("a"))  # type: ignore[arg-type]
    assert_type(outbox.add_many(connection, [NewEvent("placed", Order("a"), "k")]), list[str])


def in_a_step(tx: Transaction) -> str:
    outbox.create_tables(tx)
    inbox.first(tx, "message-1")
    return outbox.add(tx, topic="placed", payload=Order("a"))


async def relay() -> None:
    relay = Relay(outbox, "sqlite:///orders.db", publish, retry=Retry(attempts=2))
    assert_type(relay, Relay[Order])
    Relay(outbox, "sqlite:///orders.db", MessageQueue[Order]("orders", "memory://"))
    Relay(outbox, "sqlite:///orders.db", wrong)  # type: ignore[arg-type]
    Relay(outbox, "sqlite:///orders.db", publish, on_poison="skip")  # type: ignore[arg-type]
    assert_type(await relay.statistics(), RelayStatistics)
    assert_type(await relay.dead_letters(), Page[DeadEvent])
    assert_type(await relay.redrive([]), int)


async def handle(message: Message[Order]) -> None:
    assert_type(inbox.first(connection, message), bool)
    with inbox.once(connection, message) as first:
        assert_type(first, bool)
    async with inbox.once(connection, message.id) as again:
        assert_type(again, bool)
    assert_type(inbox.forget(connection, older_than=60.0), int)
