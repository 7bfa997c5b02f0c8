"""The blocking view: the same queue from threads."""

from __future__ import annotations

import threading

import pytest

from penstock import Message, MessageQueue, Reject
from penstock.errors import Closed, Misuse


def test_a_script_can_use_it(file):
    queue = MessageQueue("a", file)
    with pytest.raises(Closed):
        queue.sync.enqueue(1)
    with queue.sync as sync:
        first = sync.enqueue(1, key="k")
        assert len(sync.enqueue_many([2, 3], key="k")) == 2
        assert sync.enqueue(4, dedupe="x") == sync.enqueue(5, dedupe="x") != first
        assert sync.statistics()[:4] == (2, 0, 0, 2)
        assert sync.dead_letters().items == ()
        assert sync.redrive([first]) == 0
        assert list(sync.iter_dead_letters()) == []


def test_many_threads_share_commits(file):
    queue = MessageQueue("a", file)
    with queue.sync as sync:

        def work() -> None:
            for number in range(50):
                sync.enqueue(number)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sync.statistics().ready == 400


async def test_it_is_refused_on_a_loop(url):
    async with MessageQueue("a", url) as queue:
        with pytest.raises(Misuse, match="would stop the loop"):
            queue.sync.enqueue(1)
        await queue.enqueue(1)
        assert (await queue.statistics()).ready == 1


async def test_threads_see_what_loops_buried(file, until):
    import anyio.to_thread

    async def handle(message: Message[int]) -> None:
        raise Reject("no")

    async with MessageQueue("a", file) as queue:
        await queue.enqueue_many(range(5))
        async with queue.consumer(handle):
            await until(queue, dead=5)

        def look() -> tuple[list[str], int]:
            page = queue.sync.dead_letters(limit=2)
            rest = [letter.reason for letter in queue.sync.iter_dead_letters(page_size=2)]
            return rest, queue.sync.redrive(page.ids)

        assert await anyio.to_thread.run_sync(look) == (["no"] * 5, 2)
