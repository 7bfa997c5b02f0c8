"""What another room hands on keeps its id, and is added once in the dedupe window."""

from __future__ import annotations

from penstock import Message, MessageQueue
from penstock._durable.engines import Address
from penstock._durable.forwarding import Forwarded
from penstock.messages.store import New


def forwarded(*ids: str, key: str | None = None) -> list[Forwarded]:
    return [Forwarded(each, key, '{"topic":"t"}', each.encode()) for each in ids]


async def test_ids_keys_headers_and_payloads_arrive_as_they_are(url, until):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append((message.id, message.key, message.data, dict(message.headers)))

    async with MessageQueue("a", url) as queue:
        await queue.forward(forwarded("1", "2", key="k"))
        async with queue.consumer(handle):
            await until(queue, depth=0)
    assert seen == [("1", "k", 1, {"topic": "t"}), ("2", "k", 2, {"topic": "t"})]


async def test_each_id_is_added_once(url, until):
    seen = []

    async def handle(message: Message[int]) -> None:
        seen.append(message.id)

    async with MessageQueue("a", url) as queue:
        await queue.forward(forwarded("1", "2", "2"))
        await queue.forward(forwarded("2", "3"))
        assert (await queue.statistics()).ready == 3
        async with queue.consumer(handle):
            await until(queue, depth=0)
            await queue.forward(forwarded("1", "2", "3", "4"))
            await until(queue, depth=0)
    assert sorted(seen) == ["1", "2", "3", "4"]


def test_values_whose_window_is_over_cannot_pile_up(clock):
    from penstock._durable.writes import Kind, Write

    kind = Kind(
        "count",
        lambda session, _now, arguments: [
            session.connection.execute("SELECT count(*) FROM penstock_message_dedupe").fetchone()[0]
            for _ in arguments
        ],
    )
    store = Address("memory://").open("messages", queue="a", dedupe_window=1.0, clock=clock)
    for round_ in range(5):
        new = [New(f"{round_} {n}", None, 0.0, f"{round_} {n}", None, b"1") for n in range(1000)]
        store.writer.call(store.enqueue(new))
        clock.now += 2
    assert store.writer.call(Write(kind, None)) == 1000
    store.close()
