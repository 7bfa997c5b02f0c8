"""Adding: in the user's own transaction, or refused with what to do."""

from __future__ import annotations

import sqlite3
from collections import UserString
from dataclasses import dataclass
from typing import Any

import pytest

from penstock import Outbox, tracing
from penstock.engines.sqlite import SchemaTooNew
from penstock.errors import Misuse
from penstock.outbox import NewEvent
from penstock.tracing import SpanStore, Tracer


def rows(book) -> list[tuple[Any, ...]]:
    query = "SELECT topic, key, headers, payload FROM penstock_outbox_event ORDER BY seq"
    return book.connection.execute(query).fetchall()


def test_an_event_is_committed_with_the_rows_and_rolled_back_with_them(book):
    connection = book.connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO orders (value) VALUES ('kept')")
    first = book.outbox.add(connection, topic="placed", key="k", payload={"n": 1})
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO orders (value) VALUES ('gone')")
    second = book.outbox.add(connection, topic="placed", payload={"n": 2})
    connection.execute("ROLLBACK")
    assert first != second
    assert rows(book) == [("placed", "k", None, b'{"n":1}')]
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1,)


def test_many_at_once_keep_their_order(book):
    book.connection.execute("BEGIN IMMEDIATE")
    ids = book.outbox.add_many(
        book.connection,
        [NewEvent("a", 1), NewEvent("b", 2, "k"), NewEvent("c", 3, None, {"x": "y"})],
    )
    assert book.outbox.add_many(book.connection, []) == []
    book.connection.execute("COMMIT")
    assert len(set(ids)) == 3
    assert rows(book) == [
        ("a", None, None, b"1"),
        ("b", "k", None, b"2"),
        ("c", None, '{"x":"y"}', b"3"),
    ]


def test_autocommit_is_refused_with_what_to_do(book):
    with pytest.raises(Misuse, match="is not in a transaction") as caught:
        book.outbox.add(book.connection, topic="placed", payload=1)
    assert "BEGIN IMMEDIATE" in caught.value.hint
    with pytest.raises(Misuse, match="is not in a transaction"):
        book.outbox.add_many(book.connection, [NewEvent("placed", 1)])
    assert rows(book) == []


def test_the_legacy_isolation_level_begins_late_and_the_hint_says_so(book):
    connection = sqlite3.connect(book.path)
    assert connection.isolation_level is not None
    with pytest.raises(Misuse) as caught:
        book.outbox.add(connection, topic="placed", payload=1)
    assert "begins the transaction with the first INSERT" in caught.value.hint
    with connection:
        connection.execute("INSERT INTO orders (value) VALUES ('x')")
        book.outbox.add(connection, topic="placed", payload=1)
    connection.close()
    assert len(rows(book)) == 1


class Transaction:
    """As a store's `transact` hands it to a function."""

    in_transaction = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        return self._connection.executemany(sql, parameters)


def test_the_transaction_of_a_store_will_do(book):
    book.connection.execute("BEGIN IMMEDIATE")
    transaction = Transaction(book.connection)
    Outbox("others").create_tables(transaction)
    Outbox("others").add(transaction, topic="placed", payload=1)
    book.outbox.add_many(transaction, [NewEvent("placed", 2), NewEvent("placed", 3)])
    book.connection.execute("COMMIT")
    assert [row[3] for row in rows(book)] == [b"1", b"2", b"3"]


class Asynchronous(Transaction):
    def __await__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize("connection", [None, "orders.db", object()])
def test_what_is_no_connection_is_refused(book, connection):
    with pytest.raises(Misuse, match=r"is no sqlite3\.Connection"):
        book.outbox.add(connection, topic="placed", payload=1)
    with pytest.raises(Misuse, match=r"is no sqlite3\.Connection"):
        book.outbox.create_tables(connection)


def test_asynchronous_drivers_are_refused(book):
    with pytest.raises(Misuse, match="asynchronous"):
        book.outbox.add(Asynchronous(book.connection), topic="placed", payload=1)


def test_any_row_factory_will_do(tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.row_factory = lambda cursor, row: {"row": row}
    outbox = Outbox("orders")
    for _ in range(2):
        outbox.create_tables(connection)
    connection.execute("BEGIN IMMEDIATE")
    assert outbox.add(connection, topic="placed", payload=1)
    connection.execute("COMMIT")
    connection.close()


def test_tables_are_made_in_the_transaction_that_is_under_way(tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    outbox = Outbox("orders")
    connection.execute("BEGIN")
    outbox.create_tables(connection)
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    with pytest.raises(Misuse, match="has no tables of outbox 'orders'") as caught:
        outbox.add(connection, topic="placed", payload=1)
    assert "create_tables(connection)" in caught.value.hint
    connection.execute("ROLLBACK")
    outbox.create_tables(connection)
    assert not connection.in_transaction
    connection.close()


def test_an_outbox_that_this_file_does_not_have_is_named(book):
    book.connection.execute("BEGIN")
    with pytest.raises(Misuse, match="this database has no outbox 'other'"):
        Outbox("other").add(book.connection, topic="placed", payload=1)
    with pytest.raises(Misuse, match="this database has no outbox 'other'"):
        Outbox("other").add_many(book.connection, [NewEvent("a", 1), NewEvent("a", 2)])
    book.connection.execute("ROLLBACK")


def test_tables_of_a_newer_version_are_left_alone(book):
    book.connection.execute("UPDATE penstock_schema SET version = 99 WHERE room = 'outbox'")
    with pytest.raises(SchemaTooNew, match=r"tables of outbox 'orders'.* version 99"):
        book.outbox.create_tables(book.connection)
    assert not book.connection.in_transaction


def test_a_stale_snapshot_is_explained(book):
    other = sqlite3.connect(book.path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM orders").fetchall()
    book.add(1)
    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        book.outbox.add(other, topic="placed", payload=1)
    assert "BEGIN IMMEDIATE" in caught.value.__notes__[0]
    other.close()


@dataclass
class Order:
    id: int


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"topic": ""}, "topic is ''"),
        ({"topic": 7}, "topic is 7"),
        ({"key": ""}, "key is ''"),
        ({"key": UserString("k")}, "key is 'k'"),
        ({"payload": object()}, "cannot be encoded"),
        ({"headers": {"x": 1}}, "not text by text"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(book, event, named):
    book.connection.execute("BEGIN")
    with pytest.raises(Misuse) as caught:
        book.outbox.add(book.connection, **{"topic": "placed", "payload": 1, **event})
    assert named in str(caught.value)
    with pytest.raises(Misuse):
        given = {"topic": "placed", "payload": 1, **event}
        book.outbox.add_many(book.connection, [NewEvent("fine", 1), NewEvent(**given)])
    book.connection.execute("COMMIT")
    assert rows(book) == []


def test_add_many_takes_events_alone(book):
    book.connection.execute("BEGIN")
    with pytest.raises(Misuse, match="is no NewEvent"):
        book.outbox.add_many(book.connection, [("placed", 1)])
    book.connection.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["", 7, "x" * 201])
def test_names_that_are_none(name):
    with pytest.raises(Misuse, match="an outbox's name"):
        Outbox(name)


def test_a_dataclass_is_written_as_json(book):
    outbox = Outbox("orders", type=Order)
    book.connection.execute("BEGIN")
    outbox.add(book.connection, topic="placed", payload=Order(7))
    book.connection.execute("COMMIT")
    assert rows(book) == [("placed", None, None, b'{"id":7}')]


def test_the_current_trace_goes_along_unless_one_is_given(book):
    tracer = Tracer("tests", store=SpanStore())
    other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    book.connection.execute("BEGIN")
    with tracer.span("order") as span:
        book.outbox.add(book.connection, topic="a", payload=1)
        book.outbox.add(book.connection, topic="b", payload=1, headers={"traceparent": other})
    remote = tracing.TraceContext.from_headers({"traceparent": other})
    with remote.activate():
        book.outbox.add_many(book.connection, [NewEvent("c", 1)])
    book.outbox.add(book.connection, topic="d", payload=1)
    book.connection.execute("COMMIT")
    headers = [row[2] for row in rows(book)]
    assert headers[0] == f'{{"traceparent":"{span.context.to_headers()["traceparent"]}"}}'
    assert [other in headers[1], other in headers[2]] == [True, True]
    assert headers[3] is None
