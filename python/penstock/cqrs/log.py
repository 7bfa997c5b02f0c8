"""`EventLog`: the events of a service, kept in the order of their commits."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock._durable.codec import Codec, JsonCodec
from penstock._durable.ids import new_id
from penstock.errors import Misuse
from penstock.outbox.transactions import Transaction, check_connection, check_transaction

__all__ = ("SEQ", "EventLog", "LoggedEvent")

SEQ = "penstock-log"
"""The header of an outbox's event that names its log and its place in it."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as the log has it."""

    seq: int
    """Its place: rises with each event, in the order of the commits, without gaps for readers."""
    id: str
    topic: str
    key: str | None
    payload: bytes
    created_at: float
    """Seconds since 1970, by the database's clock."""


class EventLog:
    """Events that stay, in a table beside your own: what projections are rebuilt from.

    An outbox forgets an event once it is published. Where read models are to be rebuilt, the events
    are kept here as well: `Sqlite(..., outbox=..., log=...)` writes both in the transaction of
    your rows. They are kept for ever unless you `forget`: a projection that is rebuilt afterwards
    begins with the oldest event left, so keep the whole history, or snapshots as first events.

    Args:
        name: of the log; a file holds any number of them.
        codec: instead of JSON.

    Raises Misuse for arguments that cannot work.

    """

    def __init__(self, name: str, *, codec: Codec | None = None) -> None:
        if not isinstance(name, str) or not name or len(name) > 200 or ":" in name:
            raise Misuse(
                f"an event log's name is {name!r}", hint="1 to 200 characters without a colon"
            )
        self.name = name
        self.codec: Codec = JsonCodec() if codec is None else codec

    def __repr__(self) -> str:
        return f"<EventLog {self.name!r}>"

    def create_tables(self, connection: Transaction) -> None:
        """Make the tables, or bring them to this version; as `Outbox.create_tables`."""
        check_connection(connection, repr(self))
        engine().create_log(connection, self.name)

    def add(
        self, connection: Transaction, *, topic: str, payload: Any, key: str | None = None
    ) -> int:
        """Write one event in the transaction that is under way. Returns its place in the log."""
        check_transaction(connection, repr(self))
        for what, text in (("topic", topic), ("key", key)):
            if (text is not None or what == "topic") and (not isinstance(text, str) or not text):
                raise Misuse(f"{self!r}: {what} is {text!r}", hint="a string that is not empty")
        try:
            encoded = self.codec.encode(payload)
        except (TypeError, ValueError) as error:
            raise Misuse(
                f"{self!r}: a {type(payload).__qualname__} cannot be encoded: {error}",
                hint="plain data or a dataclass of it, or a codec= that knows the type",
            ) from error
        return int(engine().add_logged(connection, self.name, (new_id(), topic, key, encoded)))

    def read(self, connection: Any, *, after: int = 0, limit: int = 1000) -> list[LoggedEvent]:
        """The next events behind `after`, at most `limit`, on any connection to the file."""
        check_connection(connection, repr(self))
        return [LoggedEvent(*row) for row in engine().read_log(connection, self.name, after, limit)]

    def iter(
        self, connection: Any, *, after: int = 0, page_size: int = 1000
    ) -> Iterator[LoggedEvent]:
        """All events behind `after`, read in pages."""
        while found := self.read(connection, after=after, limit=page_size):
            yield from found
            after = found[-1].seq

    def last(self, connection: Any) -> int:
        """The place of the newest event; 0 for an empty log."""
        check_connection(connection, repr(self))
        return int(engine().last_of_log(connection, self.name))

    def forget(self, connection: Transaction, *, through: int, limit: int = 1000) -> int:
        """Remove the oldest events up to the place `through`, at most `limit`; how many.

        Part of the transaction that is under way; keep it short. What is gone is missing from every
        later rebuild.
        """
        check_transaction(connection, repr(self))
        return int(engine().forget_log(connection, self.name, through, limit))


def engine() -> Any:
    """What is written on a connection to SQLite."""
    return importlib.import_module("penstock.engines.sqlite.cqrs")
