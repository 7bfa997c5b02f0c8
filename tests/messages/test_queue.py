"""What is enqueued is handled: once if all goes well, in order by key, when its time has come."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import anyio
import msgspec
import pytest

from penstock import Message, MessageQueue
from penstock.errors import Closed, Misuse


async def test_what_is_enqueued_is_handled_and_gone(url, until):
    got = []

    async def handle(message: Message[str]) -> None:
        got.append(message)

    async with MessageQueue("mails", url, type=str) as queue:
        first = await queue.enqueue("a", headers={"traceparent": "00-1"})
        more = await queue.enqueue_many(["b", "c"])
        assert (await queue.statistics()).ready == 3
        async with queue.consumer(handle, concurrency=1):
            await until(queue, depth=0)
    assert [message.data for message in got] == ["a", "b", "c"]
    assert [message.id for message in got] == [first, *more]
    assert got[0].headers == {"traceparent": "00-1"}
    assert got[1].headers == {}
    assert all(message.attempt == 1 and message.key is None for message in got)
    assert uuid.UUID(first).version == 7


async def test_ids_sort_by_time():
    async with MessageQueue("mails", "memory://") as queue:
        ids = [await queue.enqueue(None)]
        while ids[-1][:13] == ids[0][:13]:  # until a millisecond has passed
            ids.append(await queue.enqueue(None))
    assert ids[-1] > ids[0]


@dataclass
class Email:
    to: str
    copies: list[str]


class Order(msgspec.Struct):
    number: int


@pytest.mark.parametrize(
    ("kind", "value"), [(Email, Email("a@b", ["c"])), (Order, Order(7)), (dict[str, int], {"a": 1})]
)
async def test_payloads_come_back_as_their_type(url, kind, value):
    got = []
    async with MessageQueue("typed", url, type=kind) as queue:
        await queue.enqueue(value)
        done = anyio.Event()

        async def handle(message: Message[object]) -> None:
            got.append(message.data)
            done.set()

        async with queue.consumer(handle):
            await done.wait()
    assert got == [value]


async def test_queues_of_one_store_are_apart(file):
    async with MessageQueue("a", file) as one, MessageQueue("b", file) as other:
        await one.enqueue(1)
        assert (await one.statistics()).ready == 1
        assert (await other.statistics()).ready == 0


async def test_two_objects_of_one_name_are_one_queue(file):
    for url in (file, "memory://shared"):
        async with MessageQueue("a", url) as one, MessageQueue("a", url) as other:
            await one.enqueue(1)
            assert (await other.statistics()).ready == 1


async def test_a_memory_without_a_name_is_of_its_object():
    async with MessageQueue("a", "memory://") as one, MessageQueue("a", "memory://") as other:
        await one.enqueue(1)
        assert (await other.statistics()).ready == 0


async def test_a_consumer_that_waits_is_woken_by_an_enqueue(url):
    got, woken = [], anyio.Event()

    async def handle(message: Message[int]) -> None:
        got.append(message.data)
        woken.set()

    async with MessageQueue("a", url) as queue, queue.consumer(handle):
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        await queue.enqueue(1)
        await woken.wait()
    assert got == [1]


async def test_a_delay_keeps_a_message_back(clock, until):
    got = []

    async def handle(message: Message[str]) -> None:
        got.append(message.data)

    async with MessageQueue("a", "memory://", clock=clock) as queue:
        await queue.enqueue("later", delay=60)
        await queue.enqueue("now")
        async with queue.consumer(handle):
            await until(queue, ready=0, delayed=1, in_flight=0)
            clock.now += 59
            await queue.enqueue("meanwhile")
            await until(queue, ready=0, delayed=1, in_flight=0)
            assert got == ["now", "meanwhile"]
            clock.now += 1
            await queue.enqueue("last")  # a consumer looks again when something comes
            await until(queue, depth=0)
    assert sorted(got) == ["last", "later", "meanwhile", "now"]


async def test_a_delay_is_over_without_anybody_doing_anything(url):
    done = anyio.Event()

    async def handle(message: Message[int]) -> None:
        done.set()

    async with MessageQueue("a", url) as queue, queue.consumer(handle):
        await queue.enqueue(1, delay=0.05)
        await done.wait()


async def test_a_key_has_one_message_in_flight_in_order(url, until):
    under_way: dict[str | None, int] = {}
    got: dict[str | None, list[int]] = {"a": [], "b": [], None: []}
    together = anyio.Event()

    async def handle(message: Message[int]) -> None:
        assert under_way.get(message.key, 0) == 0
        under_way[message.key] = 1
        if sum(under_way.values()) == 2:
            together.set()
        await together.wait()  # keys do not wait for each other
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        under_way[message.key] = 0
        got[message.key].append(message.data)

    async with MessageQueue("a", url) as queue:
        for number in range(20):
            await queue.enqueue(number, key="ab"[number % 2])
        assert (await queue.statistics())[:4] == (2, 0, 0, 18)
        async with queue.consumer(handle, concurrency=8):
            await until(queue, depth=0)
    assert got["a"] == list(range(0, 20, 2))
    assert got["b"] == list(range(1, 20, 2))


async def test_a_key_waits_for_the_next_attempt_of_its_first_message(url, clock, until):
    got = []

    async def handle(message: Message[int]) -> None:
        got.append((message.data, message.attempt))
        if message.attempt == 1 and message.data == 1:
            raise OSError("not now")

    async with MessageQueue("a", "memory://", clock=clock, random=lambda: 0.0) as queue:
        await queue.enqueue(1, key="k")
        await queue.enqueue(2, key="k")
        async with queue.consumer(handle):
            await until(queue, delayed=1, behind=1)
            clock.now += 1
            await queue.enqueue(3, key="k")
            await until(queue, depth=0)
    assert got == [(1, 1), (1, 2), (2, 1), (3, 1)]


async def test_a_dead_message_lets_its_key_go_on(url, until):
    from penstock import Reject

    got = []

    async def handle(message: Message[int]) -> None:
        got.append(message.data)
        if message.data == 1:
            raise Reject("bad")

    async with MessageQueue("a", url) as queue:
        await queue.enqueue_many([1, 2], key="k")
        async with queue.consumer(handle):
            await until(queue, depth=0, dead=1)
    assert got == [1, 2]


async def test_dedupe_adds_the_first_only(clock):
    async with MessageQueue("a", "memory://", clock=clock, dedupe_window=10) as queue:
        first = await queue.enqueue(1, dedupe="order-1")
        assert await queue.enqueue(2, dedupe="order-1") == first
        assert await queue.enqueue(3, dedupe="order-2") != first
        clock.now += 10
        assert await queue.enqueue(4, dedupe="order-1") != first
        assert (await queue.statistics()).ready == 3


async def test_of_many_at_once_with_one_dedupe_one_is_added(url):
    ids = []
    async with MessageQueue("a", url) as queue, MessageQueue("b", url) as other:
        async with anyio.create_task_group() as group:

            async def enqueue() -> None:
                ids.append(await queue.enqueue(1, dedupe="same"))

            for _ in range(50):
                group.start_soon(enqueue)
        assert (await queue.statistics()).ready == 1
        await other.enqueue(1, dedupe="same")
        assert (await other.statistics()).ready == 1, "each queue has values of its own"
    assert len(set(ids)) == 1


async def test_enqueue_many_is_all_or_nothing(url):
    async with MessageQueue("a", url) as queue:
        with pytest.raises(Misuse, match="message queue 'a': a object cannot be encoded"):
            await queue.enqueue_many([1, object(), 3])
        assert (await queue.statistics()).depth == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"key": ""}, "key is ''"),
        ({"key": 7}, "key is 7"),
        ({"dedupe": ""}, "dedupe is ''"),
        ({"delay": -1.0}, "delay=-1.0"),
        ({"delay": float("nan")}, "delay=nan"),
        ({"delay": float("inf")}, "delay=inf"),
        ({"headers": {"a": 1}}, "headers="),
        ({"headers": "a"}, "headers='a'"),
    ],
)
async def test_enqueue_refuses_what_cannot_work(arguments, named):
    async with MessageQueue("a", "memory://") as queue:
        with pytest.raises(Misuse) as caught:
            await queue.enqueue(1, **arguments)
        assert named in str(caught.value)
        assert caught.value.hint
        assert (await queue.statistics()).depth == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": 7}, "name is 7"),
        ({"name": "x" * 201}, "name is"),
        ({"url": "postgresql://x"}, "no engine for 'postgresql://x'"),
        ({"url": "jobs.db"}, "no engine for 'jobs.db'"),
        ({"url": "sqlite://"}, "names no file"),
        ({"url": "sqlite:///"}, "names no file"),
        ({"url": "sqlite://host/x"}, "names no file"),
        ({"url": "sqlite:///x.db?mode=ro"}, "no options"),
        ({"url": "memory:///x"}, "memory has a name"),
        ({"url": 7}, "url=7"),
        ({"retry": 3}, "retry=3"),
        ({"lease": 0}, "lease=0"),
        ({"dedupe_window": -1}, "dedupe_window=-1"),
        ({"type": type("Opaque", (), {})}, "cannot be decoded"),
    ],
)
def test_the_constructor_refuses_what_cannot_work(arguments, named):
    with pytest.raises(Misuse) as caught:
        MessageQueue(**{"name": "a", "url": "memory://", **arguments})
    assert named in str(caught.value) or named in str(caught.value.hint)


async def test_it_is_used_inside_its_block(url):
    queue = MessageQueue("a", url)
    with pytest.raises(Closed, match="message queue 'a' is not open"):
        await queue.enqueue(1)
    async with queue:
        await queue.enqueue(1)
    with pytest.raises(Closed):
        await queue.statistics()


async def test_a_constructor_opens_nothing(tmp_path):
    MessageQueue("a", f"sqlite:///{tmp_path}/jobs.db")
    assert list(tmp_path.iterdir()) == []


async def test_messages_stay_when_all_is_closed(file):
    async with MessageQueue("a", file) as queue:
        await queue.enqueue(1)
    async with MessageQueue("a", file) as queue:
        assert (await queue.statistics()).ready == 1


async def test_the_statistics_know_the_oldest(clock):
    async with MessageQueue("a", "memory://", clock=clock) as queue:
        assert (await queue.statistics()).oldest is None
        await queue.enqueue(1)
        clock.now += 5
        assert (await queue.statistics()).oldest == 5


async def test_a_large_payload_and_odd_text(url, until):
    got = []

    async def handle(message: Message[str]) -> None:
        got.append((message.data, message.key))

    text = "é\x00\U0001f600" * 200_000
    async with MessageQueue("a b/'\"", url) as queue:
        await queue.enqueue(text, key="k'\"; DROP TABLE penstock_message")
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert got == [(text, "k'\"; DROP TABLE penstock_message")]
