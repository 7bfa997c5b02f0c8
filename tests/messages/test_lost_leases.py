"""A consumer whose loop stops is taken over, finds itself fenced, and goes on anew."""

from __future__ import annotations

import threading

import anyio
import pytest

from penstock import Message, MessageQueue, metrics


async def test_a_blocked_loop_fences_itself(file, until):
    """The handler blocks its loop for longer than the lease; another loop takes over."""
    taken, let_go = threading.Event(), threading.Event()
    before = _lost("a")
    seen = []

    async def takes(message: Message[str]) -> None:
        seen.append(("taken over", message.attempt, message.is_fenced))
        taken.set()
        await anyio.to_thread.run_sync(let_go.wait)

    async def elsewhere() -> None:
        async with MessageQueue("a", file, lease=600.0) as queue, queue.consumer(takes):
            await anyio.to_thread.run_sync(let_go.wait)
            await until(queue, depth=0)

    thread = threading.Thread(target=anyio.run, args=(elsewhere,))

    async def blocks(message: Message[str]) -> None:
        seen.append(("blocked", message.attempt, message.is_fenced))
        thread.start()
        assert taken.wait(20)
        seen.append(("goes on", message.attempt, message.is_fenced))

    async with MessageQueue("a", file, lease=1.0) as queue:
        await queue.enqueue("work")
        async with queue.consumer(blocks, concurrency=1):
            while len(seen) < 3:
                await anyio.lowlevel.checkpoint()
            # It has returned, which acknowledges; the message must stay with who took over.
            while _lost("a") == before:
                await anyio.lowlevel.checkpoint()
        assert (await queue.statistics()).in_flight == 1
        let_go.set()
        await until(queue, depth=0)
    await anyio.to_thread.run_sync(thread.join)
    assert seen == [("blocked", 1, False), ("taken over", 2, False), ("goes on", 1, True)]


def _lost(queue: str) -> float:
    family = metrics.counter("penstock_messages_leases_lost", "leases that were lost", ("queue",))
    return family.bind(queue=queue).value


async def test_a_slow_handler_keeps_its_lease(file, until):
    """For several times the lease, while its loop turns."""
    seen = []

    async def slow(message: Message[float]) -> None:
        seen.append(("begins", message.attempt))
        await anyio.sleep(4 * message.data)  # time has to pass, the lease's own
        seen.append(("ends", message.is_fenced))

    # A machine that stands still for longer than a lease takes it away, and rightly so.
    for lease in (0.3, 1.0, 3.0):
        seen.clear()
        before = _lost("slow")
        async with (
            MessageQueue("slow", file, lease=lease) as queue,
            MessageQueue("slow", file, lease=lease) as other,
        ):
            await queue.enqueue(lease)
            async with (
                queue.consumer(slow, concurrency=1, prefetch=0),
                other.consumer(slow, concurrency=1, prefetch=0),
            ):
                await until(queue, depth=0)
        if seen == [("begins", 1), ("ends", False)] and _lost("slow") == before:
            return
    pytest.fail(f"it was taken over: {seen}")
