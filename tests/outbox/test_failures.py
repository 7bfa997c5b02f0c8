"""Targets that fail, payloads that nobody can read, files that are locked or full."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import anyio
import pytest

from penstock import MessageQueue, Outbox, Relay, Retry
from penstock.engines.sqlite import DatabaseFull
from penstock.errors import Misuse
from penstock.outbox import Event

AT_ONCE = Retry(attempts=3, delay=0.0)


async def test_a_failing_event_holds_up_its_own_key_alone(book, until):
    mended = False
    order: dict[str, list[int]] = defaultdict(list)

    async def publish(event: Event[int]) -> None:
        if event.key == "bad" and not mended:
            raise OSError("refused")
        order[event.key].append(event.data)

    for number in range(60):
        book.add(number, key=("bad", "good", "fine")[number % 3])
    retry = Retry(attempts=2, delay=0.001, max_delay=0.002)
    async with book.relay(publish, retry=retry, max_items=4) as relay:
        found = await until(relay, backlog=20)
        assert found.blocked == 1
        assert found.failed > 0
        mended = True
        await until(relay, backlog=0, blocked=0)
    assert order == {
        "bad": list(range(0, 60, 3)),
        "good": list(range(1, 60, 3)),
        "fine": list(range(2, 60, 3)),
    }


async def test_a_target_that_fails_for_a_while_gets_everything_in_order(book, until):
    order: dict[str, list[int]] = defaultdict(list)
    calls = 0

    async def publish(event: Event[int]) -> None:
        nonlocal calls
        calls += 1
        if calls < 300:
            raise ConnectionError("down")
        order[event.key].append(event.data)

    for number in range(200):
        book.add(number, key=f"k{number % 20}")
    retry = Retry(attempts=2, delay=0.001, max_delay=0.01)
    async with book.relay(publish, retry=retry, max_items=10, concurrency=3) as relay:
        await until(relay, backlog=0)
    assert order == {f"k{key}": list(range(key, 200, 20)) for key in range(20)}


async def test_attempts_are_counted_and_paused_between(book, until):
    attempts = []

    async def publish(event: Event[int]) -> None:
        attempts.append(event.attempt)
        if event.attempt < 4:
            raise OSError("not yet")

    book.add(1)
    async with book.relay(publish, retry=Retry(attempts=9, delay=0.001)) as relay:
        found = await until(relay, backlog=0)
    assert attempts == [1, 2, 3, 4]
    assert (found.failed, found.published) == (3, 1)


async def test_a_blocked_key_is_told_in_one_warning(book, caplog):
    calls = 0

    async def publish(event: Event[int]) -> None:
        nonlocal calls
        calls += 1
        raise OSError("refused")

    (event,) = book.add(1, key="k")
    async with book.relay(publish, retry=Retry(attempts=2, delay=0.0)):
        while calls < 20:
            await anyio.lowlevel.checkpoint()
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert event in record.getMessage()
    assert "blocks its key k after 2 attempts" in record.getMessage()
    assert "OSError: refused" in record.getMessage()


async def test_poison_is_given_up_if_so_chosen_and_can_be_redriven(book, ledger, until):
    mended = False

    async def publish(event: Event[int]) -> None:
        if event.data == 1 and not mended:
            raise ValueError("poison")
        await ledger(event)

    _, second, third = book.add(0, 1, 2, key="k")
    async with book.relay(publish, retry=AT_ONCE, on_poison="dead_letter") as relay:
        found = await until(relay, backlog=0)
        assert (found.dead, found.failed, found.blocked) == (1, 3, 0)
        assert ledger.data == [0, 2]
        page = await relay.dead_letters()
        (dead,) = page.items
        assert (dead.id, dead.topic, dead.key, dead.payload) == (second, "placed", "k", b"1")
        assert (dead.attempts, dead.reason) == (3, "ValueError: poison")
        assert dead.died_at >= dead.created_at > 0
        assert page.next is None
        mended = True
        assert await relay.redrive([*page.ids, third, "unknown"]) == 1
        found = await until(relay, backlog=0, published=3)
        assert found.dead == 0
    assert ledger.data == [0, 2, 1]
    assert ledger.events[-1].id == second


async def test_dead_letters_come_in_pages(book, until):
    async def publish(event: Event[int]) -> None:
        raise ValueError("poison")

    ids = book.add(*range(5))
    retry = Retry(attempts=1)
    async with book.relay(publish, retry=retry, on_poison="dead_letter") as relay:
        await until(relay, dead=5, backlog=0)
        first = await relay.dead_letters(limit=3)
        rest = await relay.dead_letters(limit=3, after=first.next)
        assert sorted(first.ids + rest.ids) == sorted(ids)
        assert (len(first), len(rest), rest.next) == (3, 2, None)
        for bad in ({"limit": 0}, {"after": "x"}):
            with pytest.raises(Misuse):
                await relay.dead_letters(**bad)
        with pytest.raises(Misuse):
            await relay.redrive(ids[0])


@pytest.mark.parametrize("on_poison", ["block", "dead_letter"])
async def test_a_payload_that_cannot_be_decoded(book, until, on_poison):
    async def publish(event: Event[int]) -> None:
        got.append(event.data)

    got: list[int] = []
    typed = Outbox("orders", type=int)
    book.add("no number", 2, key="k")
    relay = Relay(typed, book.url, publish, retry=Retry(delay=5.0), on_poison=on_poison)
    async with relay:
        if on_poison == "block":
            found = await until(relay, blocked=1, backlog=2)
            assert found.failed == 1, "trying again at once would mend nothing"
        else:
            await until(relay, backlog=0)
            (dead,) = (await relay.dead_letters()).items
            assert "cannot be decoded" in dead.reason
            assert dead.payload == b'"no number"'
    assert got == ([] if on_poison == "block" else [2])


class Loud:
    content_type = "text/loud"

    def encode(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def decode(self, payload: bytes) -> Any:
        return payload.decode()


async def test_another_codec_travels_as_a_header_and_is_not_guessed_at(book, ledger, until):
    loud = Outbox("orders", codec=Loud())
    book.connection.execute("BEGIN")
    loud.add(book.connection, topic="placed", payload="hello", key="a")
    loud.add(book.connection, topic="placed", payload="hello", key="b", headers={"x": "y"})
    book.connection.execute("COMMIT")
    async with book.relay(ledger, retry=AT_ONCE, on_poison="dead_letter") as relay:
        await until(relay, dead=2)
        page = await relay.dead_letters()
        assert "it is text/loud" in page.items[0].reason
    assert ledger.data == []
    async with Relay(loud, book.url, ledger) as relay:
        assert await relay.redrive(page.ids) == 2
        await until(relay, backlog=0)
    assert ledger.data == ["HELLO", "HELLO"]


async def test_a_poisonous_payload_is_the_queues_to_bury(book, until):
    """The relay hands bytes on, and reads none of them."""
    queue = MessageQueue[int]("orders", book.url, type=int)
    book.add("no number", 2, key="k")
    got = []

    async def handle(message: Any) -> None:
        got.append(message.data)

    async with queue, book.relay(queue) as relay, queue.consumer(handle):
        await until(relay, backlog=0)
        while (await queue.statistics()).depth:
            await anyio.lowlevel.checkpoint()
        (dead,) = (await queue.dead_letters()).items
    assert dead.payload == b'"no number"'
    assert got == [2]


class Flaky:
    """A message queue whose store fails for a while."""

    def __init__(self, queue: MessageQueue[Any], failures: int) -> None:
        self.queue = queue
        self.codec = queue.codec
        self.open, self.close = queue.open, queue.close
        self.failures = failures
        self.published_first = False

    async def forward(self, messages: Any) -> None:
        if self.failures:
            self.failures -= 1
            if self.failures % 2:
                await self.queue.forward(messages)  # it was written, and the answer is lost
            raise DatabaseFull("full")
        await self.queue.forward(messages)


async def test_a_queue_that_fails_for_a_while_gets_each_event_once(book, tmp_path, until, caplog):
    queue = MessageQueue[int]("orders", f"sqlite:///{tmp_path}/jobs.db")
    book.add(*range(20), key="k")
    async with book.relay(Flaky(queue, 4)) as relay:
        found = await until(relay, backlog=0)
        assert (found.published, found.failed) == (20, 4)
    async with queue:
        assert (await queue.statistics()).depth == 20
    assert caplog.text.count("goes on trying") == 1


async def test_drained_while_the_queue_fails_it_keeps_the_events(book, tmp_path, caplog):
    queue = MessageQueue[int]("orders", f"sqlite:///{tmp_path}/jobs.db")
    book.add(*range(20), key="k")
    async with book.relay(Flaky(queue, 1_000_001)):
        while "goes on trying" not in caplog.text:
            await anyio.lowlevel.checkpoint()
    assert book.backlog() == 20


async def test_a_transaction_of_the_users_that_stays_open_delays_and_loses_nothing(
    book, ledger, until, caplog
):
    """The relay waits for the write lock in vain, says so, and goes on when it is free."""
    async with book.relay(ledger, lease=30.0) as relay:
        await until(relay, is_active=True)
        book.add(1, 2, 3)
        other = sqlite3.connect(book.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        book.outbox.add(other, topic="placed", payload=4)
        while "goes on trying" not in caplog.text:
            await anyio.lowlevel.checkpoint()
        other.execute("COMMIT")
        other.close()
        await until(relay, backlog=0)
    assert sorted(ledger.data) == [1, 2, 3, 4], "once each: its lease was long enough"


async def test_a_full_database_is_waited_out(book, ledger, until, caplog):
    """By max_page_count: the user's own writes fail, and so do the relay's; nothing is lost."""
    book.add("x" * 500)
    async with book.relay(ledger) as relay:
        await until(relay, backlog=0)
        connection = book.connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        kept = 1
        with pytest.raises(sqlite3.OperationalError, match="full"):
            while True:
                connection.execute("BEGIN IMMEDIATE")
                book.outbox.add(connection, topic="placed", payload="x" * 2000)
                book.outbox.add(connection, topic="placed", payload="x" * 2000)
                connection.execute("COMMIT")
                kept += 2
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        await until(relay, backlog=0, published=kept)
    assert len(ledger.events) == kept


@pytest.fixture
def small_disk():
    """A file system of 2 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "penstock", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_delays_and_loses_nothing(small_disk, until, caplog):
    from tests.outbox.conftest import Book

    ballast = small_disk / "ballast"
    begun, go = anyio.Event(), anyio.Event()
    got = []

    async def publish(event: Event[int]) -> None:
        begun.set()
        await go.wait()
        got.append(event.data)

    book = Book(small_disk / "orders.db")
    book.add(1, 2, key="k")
    async with book.relay(publish, lease=30.0) as relay:
        await begun.wait()
        with pytest.raises(OSError, match="No space"), ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        go.set()
        while "goes on trying" not in caplog.text:
            await anyio.lowlevel.checkpoint()
        ballast.unlink()
        await until(relay, backlog=0)
    book.connection.close()
    assert got == [1, 2]
