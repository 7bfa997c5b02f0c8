"""`Outbox`: events that are committed with the user's own rows, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from penstock import tracing
from penstock._durable.codec import Codec, JsonCodec
from penstock._durable.headers import checked_headers, written_headers
from penstock._durable.ids import new_id
from penstock.errors import Misuse

from .event import NewEvent
from .transactions import Transaction, check_connection, check_transaction, joined

__all__ = ("Outbox",)

T = TypeVar("T")


class Outbox(Generic[T]):
    """Publish exactly what was committed: events in a table beside your own, in one transaction.

    Use it wherever something is written to a database and others are to hear of it. Publishing
    first announces what may be rolled back, publishing afterwards forgets what a crash came
    between; with an outbox the event is a row of the same transaction, and a `Relay` publishes
    what was committed, at least once, in order for each key. Where nobody else has to hear of it it
    is too much.

    Args:
        name: of the outbox; a database holds any number of them.
        type: what payloads are decoded to when a function publishes them; plain JSON data without
            it.
        codec: instead of JSON.

    Nothing is opened: it writes on the connections that it is given, in the thread that calls.
    Raises Misuse for arguments that cannot work.

    Example:
        >>> import sqlite3
        >>> outbox = Outbox("orders")
        >>> connection = sqlite3.connect(":memory:", isolation_level=None)
        >>> outbox.create_tables(connection)
        >>> _ = connection.execute("CREATE TABLE orders (id TEXT)")
        >>> with connection:
        ...     _ = connection.execute("BEGIN IMMEDIATE")
        ...     _ = connection.execute("INSERT INTO orders VALUES ('o-1')")
        ...     event = outbox.add(connection, topic="order.placed", key="o-1", payload={"n": 1})

    """

    def __init__(
        self, name: str, *, type: type[T] | None = None, codec: Codec | None = None
    ) -> None:
        if not isinstance(name, str) or not name or len(name) > 200:
            raise Misuse(f"an outbox's name is {name!r}", hint="give 1 to 200 characters")
        self.name = name
        if codec is not None and type is not None:
            raise Misuse(f"{self!r}: type= is for JSON, codec= is instead of it", hint="give one")
        self.codec: Codec = JsonCodec(type) if codec is None else codec

    def __repr__(self) -> str:
        return f"<Outbox {self.name!r}>"

    def create_tables(self, connection: Transaction) -> None:
        """Make the tables, or bring them to this version; call it where you make your own.

        Part of the transaction that is under way; without one, in a transaction of its own. They
        must lie in the file of your own rows: a commit over several attached files is not atomic.
        Raises SchemaTooNew, having changed nothing, for tables of a newer penstock.
        """
        check_connection(connection, repr(self))
        joined().create_outbox(connection, self.name)

    def add(
        self,
        connection: Transaction,
        *,
        topic: str,
        payload: T,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Write one event in the transaction that is under way on `connection`. Returns its id.

        Args:
            connection: a `sqlite3.Connection` in a transaction, best begun with BEGIN IMMEDIATE;
                or the transaction that a store's `transact` hands to its function.
            topic: what happened, such as "order.placed".
            payload: of the outbox's type.
            key: events of one key are published in the order in which they were committed.
            headers: text by text. The current trace context goes along, unless there is a
                `traceparent` in them.

        If the transaction is rolled back, so is the event. Raises Misuse outside of a transaction,
        without the tables, and for what cannot be stored; what sqlite3 raises comes through.
        Blocks for one INSERT; no commit, no fsync.

        """
        check_transaction(connection, repr(self))
        row = self._row(topic, payload, key, headers, _current_trace())
        joined().add_events(connection, self.name, [row])
        return str(row[0])

    def add_many(self, connection: Transaction, events: Iterable[NewEvent[T]]) -> list[str]:
        """As `add`, for several events in this order. Returns their ids."""
        check_transaction(connection, repr(self))
        trace = _current_trace()
        rows = []
        for each in events:
            if not isinstance(each, NewEvent):
                raise Misuse(
                    f"{self!r}: {each!r} is no NewEvent", hint="NewEvent(topic, payload, key)"
                )
            rows.append(self._row(each.topic, each.payload, each.key, each.headers, trace))
        if rows:
            joined().add_events(connection, self.name, rows)
        return [str(row[0]) for row in rows]

    def _row(
        self,
        topic: str,
        payload: T,
        key: str | None,
        headers: Mapping[str, str] | None,
        trace: Mapping[str, str] | None,
    ) -> tuple[Any, ...]:
        for what, text in (("topic", topic), ("key", key)):
            if (text is not None or what == "topic") and (not isinstance(text, str) or not text):
                raise Misuse(
                    f"{self!r}: {what} is {text!r}", hint="give a string that is not empty"
                )
        checked_headers(headers, repr(self))
        try:
            encoded = self.codec.encode(payload)
        except (TypeError, ValueError) as error:
            raise Misuse(
                f"{self!r}: a {type(payload).__qualname__} cannot be encoded: {error}",
                hint="give plain data or a dataclass of it, or a codec= that knows the type",
            ) from error
        written = written_headers(headers, self.codec.content_type, trace)
        return new_id(), topic, key, written, encoded


def _current_trace() -> Mapping[str, str] | None:
    current = tracing.TraceContext.current()
    return current.to_headers() if current.is_valid else None
