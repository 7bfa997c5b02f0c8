"""Consumers start, drain and are cancelled without losing or doubling a message."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from penstock import Message, MessageQueue, metrics
from penstock.errors import EngineError, Misuse


async def test_drain_lets_handlers_end_and_gives_back_the_rest(url, until):
    begun, go = anyio.Event(), anyio.Event()
    handled = []

    async def handle(message: Message[int]) -> None:
        begun.set()
        await go.wait()
        handled.append((message.data, message.attempt))

    async with MessageQueue("a", url) as queue:
        await queue.enqueue_many(range(10))
        async with anyio.create_task_group() as group:
            consumer = queue.consumer(handle, concurrency=2, prefetch=8)
            await consumer.start()
            await begun.wait()
            await until(queue, in_flight=10)

            async def let_go() -> None:
                await until(queue, in_flight=2, ready=8)
                go.set()

            group.start_soon(let_go)
            await consumer.drain()
        assert (await queue.statistics())[:4] == (8, 0, 0, 0)
        assert sorted(handled) == [(0, 1), (1, 1)]
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert sorted(handled) == [(number, 1) for number in range(10)], "no attempt was counted"


async def test_cancelling_gives_back_without_counting(url, until):
    begun = anyio.Event()
    ended = []

    async def handle(message: Message[int]) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(message.data)

    async with MessageQueue("a", url) as queue:
        await queue.enqueue_many(range(5), key="k")
        async with anyio.create_task_group() as group:
            group.start_soon(queue.consume, handle)
            await begun.wait()
            group.cancel_scope.cancel()
        assert ended == [0]
        assert (await queue.statistics())[:4] == (1, 0, 0, 4), "in front of its key again"
        got = []

        async def note(message: Message[int]) -> None:
            got.append((message.data, message.attempt))

        async with queue.consumer(note):
            await until(queue, depth=0)
    assert got == [(number, 1) for number in range(5)]


async def test_native_cancellation_on_asyncio_gives_back_too(until):
    async def main() -> None:
        begun = asyncio.Event()

        async def handle(message: Message[int]) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with MessageQueue("a", "memory://") as queue:
            await queue.enqueue_many(range(3))
            task = asyncio.ensure_future(queue.consume(handle))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await queue.statistics())[:4] == (3, 0, 0, 0)

    await anyio.to_thread.run_sync(asyncio.run, main())


async def test_a_claim_whose_answer_nobody_awaits_any_more_is_given_back(url, until):
    """Cancelled at every moment of the first round trips, consumers hold nothing."""

    async def handle(message: Message[int]) -> None:
        await anyio.sleep_forever()

    async with MessageQueue("a", url) as queue:
        await queue.enqueue_many(range(5))
        for turns in range(30):
            async with anyio.create_task_group() as group:
                group.start_soon(queue.consume, handle)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await queue.statistics())[:4] == (5, 0, 0, 0)
        got = []

        async def note(message: Message[int]) -> None:
            got.append(message.attempt)

        async with queue.consumer(note):
            await until(queue, depth=0)
    assert got == [1] * 5


async def test_concurrency_is_a_bound(url, until):
    under_way = most = 0
    full = anyio.Event()

    async def handle(message: Message[int]) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 5:
            full.set()
        await full.wait()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        under_way -= 1

    async with MessageQueue("a", url) as queue:
        await queue.enqueue_many(range(60))
        async with queue.consumer(handle, concurrency=5):
            await until(queue, depth=0)
    assert most == 5


async def test_two_consumers_share_without_doubling(file, until):
    seen: dict[str, list[int]] = {"one": [], "two": []}
    both = anyio.Event()

    def handler(name):
        async def handle(message: Message[int]) -> None:
            seen[name].append(message.data)
            if all(seen.values()):
                both.set()
            await both.wait()  # each has its part

        return handle

    async with MessageQueue("a", file) as one, MessageQueue("a", file) as two:
        await one.enqueue_many(range(200))
        async with (
            one.consumer(handler("one"), concurrency=2, prefetch=0),
            two.consumer(handler("two"), concurrency=2, prefetch=0),
        ):
            await until(one, depth=0)
    assert sorted(seen["one"] + seen["two"]) == list(range(200))


def not_async(message: Message[int]) -> None:
    return None


async def test_a_handler_that_is_not_async_ends_the_consumer(url):
    async with MessageQueue("a", url) as queue:
        await queue.enqueue(1)
        with pytest.raises(Misuse, match=r"not_async.* returned None, nothing to await"):
            await queue.consume(not_async)
        assert (await queue.statistics()).ready == 1
        with pytest.raises(Misuse, match="nothing to await"):
            async with queue.consumer(not_async):
                await anyio.sleep_forever()


async def generator(message: Message[int]):
    yield


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"handler": 7}, "handler 7"),
        ({"handler": generator}, "generator function"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": True}, "concurrency=True"),
        ({"prefetch": -1}, "prefetch=-1"),
    ],
)
def test_consumer_refuses_what_cannot_work(arguments, named):
    queue = MessageQueue("a", "memory://")
    with pytest.raises(Misuse) as caught:
        queue.consumer(**{"handler": not_async, **arguments})
    assert named in str(caught.value)


async def test_an_error_in_the_block_comes_out_as_it_is(url):
    async def handle(message: Message[int]) -> None:
        await anyio.sleep_forever()

    begun = KeyError("mine")
    async with MessageQueue("a", url) as queue:
        with pytest.raises(KeyError) as caught:
            async with queue.consumer(handle):
                raise begun
        assert caught.value is begun


async def test_a_consumer_starts_and_runs_once(url):
    async def handle(message: Message[int]) -> None:
        pass

    async with MessageQueue("a", url) as queue, queue.consumer(handle) as consumer:
        with pytest.raises(Misuse, match="has been started"):
            await consumer.start()
        await consumer.drain()
        with pytest.raises(Misuse, match="has been drained"):
            await consumer.start()


async def test_a_consumer_opens_its_queue(file, until):
    async def handle(message: Message[int]) -> None:
        pass

    queue = MessageQueue("a", file)
    async with queue.consumer(handle):
        await queue.enqueue(1)
        await until(queue, depth=0)


async def test_a_store_that_cannot_be_opened_is_said_at_the_start(tmp_path):
    async def handle(message: Message[int]) -> None:
        pass

    queue = MessageQueue("a", f"sqlite:///{tmp_path}")
    with pytest.raises(EngineError, match="is a folder"):
        await queue.consumer(handle).start()
    with pytest.raises(EngineError, match="is a folder"):
        await queue.consume(handle)


async def test_a_handler_may_enqueue(url, until):
    async with MessageQueue("a", url) as queue:

        async def handle(message: Message[int]) -> None:
            if message.data:
                await queue.enqueue(message.data - 1)

        await queue.enqueue(20)
        async with queue.consumer(handle):
            await until(queue, depth=0)


async def test_what_became_of_messages_is_counted(until):
    async def handle(message: Message[int]) -> None:
        pass

    async with MessageQueue("counted", "memory://") as queue:
        await queue.enqueue_many(range(3))
        async with queue.consumer(handle):
            await until(queue, depth=0)
    snapshot = metrics.snapshot()
    settled = {
        tuple(series.labels.items()): series.value
        for series in snapshot["penstock_messages_settled"].series
    }
    key = (("queue", "counted"), ("action", "acknowledge"))
    assert settled[key] % 3 == 0
    assert settled[key] > 0


async def test_what_was_handled_is_not_handled_again_after_a_cancel(url, until):
    """Cancelled at every moment after the handler has returned: its end is written all the same."""
    got = []

    async def handle(message: Message[int]) -> None:
        got.append(message.data)

    async with MessageQueue("a", url) as queue:
        for turns in range(30):
            await queue.enqueue(turns)
            async with anyio.create_task_group() as group:
                group.start_soon(queue.consume, handle)
                while len(got) <= turns:
                    await anyio.lowlevel.checkpoint()
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await queue.statistics()).depth == 0
    assert got == list(range(30))
