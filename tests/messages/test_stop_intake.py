"""`Consumer.stop_intake`: nothing more is claimed, and what is under way goes on."""

from __future__ import annotations

import anyio

from penstock import MessageQueue


async def test_what_has_not_begun_is_given_back_and_handlers_go_on(tmp_path):
    begun, release = anyio.Event(), anyio.Event()
    handled = []

    async def handle(message) -> None:
        begun.set()
        await release.wait()
        handled.append(message.data)

    queue = MessageQueue("jobs", f"sqlite:///{tmp_path / 'jobs.db'}")
    async with queue:
        for n in range(5):
            await queue.enqueue(n)
        consumer = queue.consumer(handle, concurrency=1, prefetch=4)
        async with consumer:
            await begun.wait()
            consumer.stop_intake()
            consumer.stop_intake()
            while (await queue.statistics()).ready != 4:
                await anyio.lowlevel.checkpoint()
            await queue.enqueue(5)
            assert (handled, (await queue.statistics()).in_flight) == ([], 1)
            release.set()
        assert handled == [0]
        assert (await queue.statistics()).ready == 5
