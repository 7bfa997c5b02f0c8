"""An effect once, although its message comes twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from penstock import Inbox, Message, MessageQueue
from penstock.errors import Misuse

inbox = Inbox("billing")


@pytest.fixture
def connection(tmp_path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "billing.db", isolation_level=None)
    connection.execute("CREATE TABLE bills (message TEXT)")
    inbox.create_tables(connection)
    yield connection
    connection.close()


def count(connection: sqlite3.Connection, table: str = "bills") -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def bill(connection: sqlite3.Connection, message: Any) -> bool:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        with inbox.once(connection, message) as first:
            if first:
                connection.execute("INSERT INTO bills VALUES (?)", (str(message),))
        return first


def test_only_the_first_time_is_first(connection):
    assert [bill(connection, each) for each in ("a", "b", "a", "b", "c")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert count(connection) == 3


async def test_it_is_an_async_block_as_well(connection):
    for wanted in (True, False):
        connection.execute("BEGIN IMMEDIATE")
        async with inbox.once(connection, "a") as first:
            assert first is wanted
        connection.execute("COMMIT")


def test_consumers_have_marks_of_their_own(connection):
    connection.execute("BEGIN")
    assert inbox.first(connection, "a")
    assert Inbox("shipping").first(connection, "a")
    assert not inbox.first(connection, "a")
    connection.execute("COMMIT")


def test_a_rollback_takes_the_mark_along(connection):
    connection.execute("BEGIN")
    assert inbox.first(connection, "a")
    connection.execute("ROLLBACK")
    assert bill(connection, "a")


async def test_a_block_that_raises_leaves_no_mark_whoever_commits(connection):
    connection.execute("BEGIN")
    with pytest.raises(OSError, match="no bill"), inbox.once(connection, "a"):
        raise OSError("no bill")
    with pytest.raises(OSError, match="no bill"):
        async with inbox.once(connection, "b"):
            raise OSError("no bill")
    connection.execute("COMMIT")
    assert count(connection, "penstock_inbox") == 0
    assert bill(connection, "a")


def test_a_repeat_that_raises_keeps_the_mark(connection):
    bill(connection, "a")
    connection.execute("BEGIN")
    with pytest.raises(OSError, match="x"), inbox.once(connection, "a") as first:
        assert not first
        raise OSError("x")
    connection.execute("COMMIT")
    assert not bill(connection, "a")


def test_outside_of_a_transaction_it_is_refused(connection):
    with pytest.raises(Misuse, match="is not in a transaction"):
        inbox.once(connection, "a").__enter__()
    with pytest.raises(Misuse, match="is not in a transaction"):
        inbox.first(connection, "a")
    with pytest.raises(Misuse, match="is not in a transaction"):
        inbox.forget(connection, older_than=1.0)


def test_without_its_table_it_says_so(tmp_path):
    bare = sqlite3.connect(tmp_path / "bare.db", isolation_level=None)
    bare.execute("BEGIN")
    with pytest.raises(Misuse, match="has no tables of inbox 'billing'"):
        inbox.first(bare, "a")
    with pytest.raises(Misuse, match="has no tables of inbox 'billing'"):
        inbox.forget(bare, older_than=1.0)
    bare.close()


def test_old_marks_are_forgotten_in_bounded_batches(connection):
    connection.execute("BEGIN")
    for number in range(25):
        inbox.first(connection, f"old {number:02}")
    Inbox("shipping").first(connection, "old")
    connection.execute("UPDATE penstock_inbox SET at = at - 3600")
    inbox.first(connection, "new")
    connection.execute("COMMIT")
    removed = []
    while not removed or removed[-1] == 10:
        connection.execute("BEGIN IMMEDIATE")
        removed.append(inbox.forget(connection, older_than=1800.0, limit=10))
        connection.execute("COMMIT")
    assert removed == [10, 10, 5]
    left = connection.execute("SELECT consumer, message FROM penstock_inbox").fetchall()
    assert sorted(left) == [("billing", "new"), ("shipping", "old")]


@pytest.mark.parametrize("bad", [{"older_than": -1}, {"older_than": 1, "limit": 0}])
def test_forgetting_refuses_what_cannot_work(connection, bad):
    connection.execute("BEGIN")
    with pytest.raises(Misuse):
        inbox.forget(connection, **bad)
    connection.execute("ROLLBACK")


@pytest.mark.parametrize("message", [None, "", 7, object()])
def test_what_has_no_id_is_refused(connection, message):
    connection.execute("BEGIN")
    with pytest.raises(Misuse, match="has no id"):
        inbox.first(connection, message)
    connection.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["", None, "x" * 201])
def test_names_that_are_none(name):
    with pytest.raises(Misuse, match="an inbox's consumer"):
        Inbox(name)


async def test_a_message_that_is_handled_twice_has_its_effect_once(connection):
    handled = 0

    async def handle(message: Message[int]) -> None:
        nonlocal handled
        handled += 1
        bill(connection, message)
        if message.attempt == 1:
            raise OSError("after the commit")

    from penstock import Retry

    async with MessageQueue[int]("a", "memory://", retry=Retry(delay=0.0)) as queue:
        await queue.enqueue_many([1, 2])
        async with queue.consumer(handle):
            while (await queue.statistics()).depth:
                pass
    assert handled == 4
    assert count(connection) == 2
