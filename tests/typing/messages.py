"""A queue's type is what goes in, and what its handlers get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import assert_type

from penstock import Message, MessageQueue, Page, Retry
from penstock.messages import Consumer, DeadLetter, MessageStatistics, SyncMessageQueue


@dataclass
class Email:
    to: str


queue = MessageQueue("emails", "memory://", type=Email, retry=Retry(attempts=2))
assert_type(queue, MessageQueue[Email])
assert_type(
    MessageQueue[list[int]]("numbers", "memory://", type=list[int]), MessageQueue[list[int]]
)


async def send(message: Message[Email]) -> None:
    assert_type(message.data, Email)
    assert_type(message.key, str | None)


async def wrong(message: Message[int]) -> None:
    pass


async def use() -> None:
    assert_type(await queue.enqueue(Email("a")), str)
    await queue.enqueue("a")  # type: ignore[arg-type]
    assert_type(await queue.enqueue_many([Email("a")], key="k"), list[str])
    assert_type(queue.consumer(send), Consumer[Email])
    queue.consumer(wrong)  # type: ignore[arg-type]
    assert_type(await queue.statistics(), MessageStatistics)
    assert_type(await queue.dead_letters(), Page[DeadLetter])
    assert_type(queue.iter_dead_letters(), AsyncIterator[DeadLetter])
    assert_type(await queue.redrive([]), int)


def block() -> None:
    with queue.sync as sync:
        assert_type(sync, SyncMessageQueue[Email])
        assert_type(sync.enqueue(Email("a")), str)
