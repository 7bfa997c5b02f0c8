"""What fails is tried again after a pause, and kept with its reason when attempts are over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import anyio
import pytest

from penstock import Message, MessageQueue, Reject, Retry, RetryLater
from penstock.errors import Misuse
from penstock.messages import JsonCodec


async def test_a_failure_is_retried_with_growing_pauses_then_dead(clock, until):
    attempts = []

    async def handle(message: Message[int]) -> None:
        attempts.append((message.attempt, clock.now, message.id, message.fence))
        raise OSError(f"no route to {message.data}")

    retry = Retry(attempts=4, delay=2.0, multiplier=3.0, max_delay=10.0, jitter=0.5)
    async with MessageQueue(
        "a", "memory://", retry=retry, clock=clock, random=lambda: 1.0
    ) as queue:
        sent = await queue.enqueue(7)
        start = clock.now
        async with queue.consumer(handle):
            for pause in (1.0, 3.0, 5.0):  # half of 2, 6 and 10 (not 18)
                await until(queue, delayed=1)
                clock.now += pause - 0.001
                for _ in range(3):
                    await queue.redrive([])  # makes the consumer look
                assert (await queue.statistics()).delayed == 1, "not before its time"
                clock.now += 0.001
                count = len(attempts)
                await queue.redrive([])
                while len(attempts) == count:
                    await anyio.lowlevel.checkpoint()
            await until(queue, dead=1)
        (dead,) = await queue.dead_letters()
    assert [(attempt, now - start) for attempt, now, *_ in attempts] == [
        (1, 0.0),
        (2, pytest.approx(1.0)),
        (3, pytest.approx(4.0)),
        (4, pytest.approx(9.0)),
    ]
    assert {each for _, _, each, _ in attempts} == {sent}
    fences = [fence for *_, fence in attempts]
    assert fences == sorted(set(fences)), "each delivery has a higher fence"
    assert (dead.id, dead.attempts, dead.reason) == (sent, 4, "OSError: no route to 7")
    assert "in handle" in dead.traceback
    assert dead.payload == b"7"
    assert (dead.enqueued_at, dead.died_at) == (start, clock.now)


async def test_reject_buries_at_once(url, until, caplog):
    async def handle(message: Message[int]) -> None:
        raise Reject("no such account")

    async with MessageQueue("a", url) as queue:
        await queue.enqueue(1, key="k", headers={"h": "1"})
        with caplog.at_level(logging.WARNING, "penstock.messages"):
            async with queue.consumer(handle):
                await until(queue, dead=1)
        (dead,) = await queue.dead_letters()
    assert (dead.reason, dead.attempts, dead.key, dead.headers) == (
        "no such account",
        1,
        "k",
        {"h": "1"},
    )
    assert "no such account" in caplog.text


async def test_reject_from_a_task_group_of_the_handler_is_seen(url, until):
    async def reject() -> None:
        raise Reject("inside")

    async def handle(message: Message[int]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(reject)

    async with MessageQueue("a", url) as queue:
        await queue.enqueue(1)
        async with queue.consumer(handle):
            await until(queue, dead=1)
        (dead,) = await queue.dead_letters()
    assert dead.reason == "inside"


async def test_retry_later_counts_no_attempt(clock, until):
    attempts = []

    async def handle(message: Message[int]) -> None:
        attempts.append(message.attempt)
        if len(attempts) < 10:
            raise RetryLater(5)

    async with MessageQueue("a", "memory://", clock=clock, retry=Retry(attempts=2)) as queue:
        await queue.enqueue(1)
        async with queue.consumer(handle):
            for _ in range(9):
                await until(queue, delayed=1)
                clock.now += 5
                await queue.redrive([])  # makes the consumer look
            await until(queue, depth=0)
        assert (await queue.statistics()).dead == 0
    assert attempts == [1] * 10


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
def test_retry_later_refuses_what_is_no_time(delay):
    with pytest.raises(Misuse, match="RetryLater"):
        RetryLater(delay)


@dataclass
class Email:
    to: str


@pytest.mark.parametrize("payload", [{"to": 7}, {}, [], "x"])
async def test_what_cannot_be_decoded_is_dead_with_its_reason(file, until, payload):
    handled = []

    async def handle(message: Message[Email]) -> None:
        handled.append(message)

    async with MessageQueue("mails", file) as anything:
        await anything.enqueue(payload)
    async with MessageQueue("mails", file, type=Email) as queue:
        async with queue.consumer(handle):
            await until(queue, dead=1)
        (dead,) = await queue.dead_letters()
    assert handled == []
    assert dead.reason.startswith("the payload cannot be decoded: ")
    assert dead.payload == JsonCodec().encode(payload)


class Shouted:
    content_type = "text/shouted"

    def encode(self, value: str) -> bytes:
        return value.upper().encode()

    def decode(self, payload: bytes) -> str:
        return payload.decode()


async def test_a_codec_of_ones_own(url, until):
    got = []

    async def handle(message: Message[str]) -> None:
        got.append(message.data)

    async with MessageQueue("a", url, codec=Shouted()) as queue:
        await queue.enqueue("hello")
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert got == ["HELLO"]


async def test_another_content_type_is_dead_with_its_reason(file, until):
    async with MessageQueue("a", file, codec=Shouted()) as queue:
        await queue.enqueue("1")

    async def handle(message: Message[object]) -> None:
        raise AssertionError("it is JSON by chance only")

    async with MessageQueue("a", file) as queue:
        async with queue.consumer(handle):
            await until(queue, dead=1)
        (dead,) = await queue.dead_letters()
    assert "it is text/shouted, and this queue decodes application/json" in dead.reason


async def test_dead_letters_come_in_pages_and_can_be_redriven(url, until):
    broken = True
    got = []

    async def handle(message: Message[int]) -> None:
        if broken:
            raise Reject(f"reason {message.data}")
        got.append((message.data, message.attempt, message.headers))

    async with MessageQueue("a", url) as queue:
        ids = await queue.enqueue_many(range(7), headers={"n": "1"})
        async with queue.consumer(handle, concurrency=1):
            await until(queue, dead=7)
        first = await queue.dead_letters(limit=3)
        second = await queue.dead_letters(limit=3, after=first.next)
        third = await queue.dead_letters(limit=3, after=second.next)
        assert [len(page) for page in (first, second, third)] == [3, 3, 1]
        assert third.next is None
        assert [*first.ids, *second.ids, *third.ids] == ids
        assert [each.id async for each in queue.iter_dead_letters(page_size=2)] == ids
        exact = await queue.dead_letters(limit=7)
        assert exact.next is None, "nothing comes behind"

        broken = False
        assert await queue.redrive([*ids[:2], "unknown", ids[0]]) == 2
        async with queue.consumer(handle, concurrency=1):
            await until(queue, depth=0)
        assert (await queue.statistics()).dead == 5
    assert got == [(0, 1, {"n": "1"}), (1, 1, {"n": "1"})]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda queue: queue.dead_letters(limit=0), "limit=0"),
        (lambda queue: queue.dead_letters(limit=True), "limit=True"),
        (lambda queue: queue.dead_letters(after="x"), "after='x'"),
        (lambda queue: queue.redrive("abc"), "one string"),
        (lambda queue: queue.redrive([7]), "an id is 7"),
    ],
)
async def test_looking_refuses_what_cannot_work(call, named):
    async with MessageQueue("a", "memory://") as queue:
        with pytest.raises(Misuse) as caught:
            await call(queue)
        assert named in str(caught.value)


async def test_a_cancellation_the_handler_brought_upon_itself_is_no_failure(until, clock):
    """On asyncio awaiting a cancelled task raises CancelledError in a task nobody cancelled."""
    attempts = []

    async def handle(message: Message[int]) -> None:
        attempts.append(message.attempt)
        if len(attempts) < 4:
            task = asyncio.ensure_future(asyncio.Event().wait())
            task.cancel()
            await task

    async def main() -> None:
        retry = Retry(attempts=2, delay=1.0)
        async with MessageQueue("a", "memory://", clock=clock, retry=retry) as queue:
            await queue.enqueue(1)
            async with queue.consumer(handle):
                for _ in range(3):
                    await until(queue, delayed=1)
                    clock.now += 60
                    await queue.redrive([])
                await until(queue, depth=0)
            assert (await queue.statistics()).dead == 0

    await anyio.to_thread.run_sync(asyncio.run, main())
    assert attempts == [1, 1, 1, 1]
