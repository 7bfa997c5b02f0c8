"""`Inbox`: an effect that happens once, although its message may come twice."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Protocol

from penstock.errors import Misuse

from .transactions import Transaction, check_connection, check_transaction, joined

__all__ = ("Inbox", "Once")

_MOST = 100_000


class Identified(Protocol):
    """A message, by its id."""

    @property
    def id(self) -> str: ...


class Inbox:
    """Remembers which messages a consumer has handled, in the transaction of what they have done.

    For handlers of messages that come at least once and must have their effect once: the mark and
    the effect are committed together, so a repeated message finds the mark and does nothing.
    An effect outside of the database needs the message's id as an idempotency key there.

    Args:
        consumer: whose marks they are; each consumer of the same messages has a name of its own.

    Example:
        >>> import sqlite3
        >>> inbox = Inbox("billing")
        >>> connection = sqlite3.connect(":memory:", isolation_level=None)
        >>> inbox.create_tables(connection)
        >>> for _ in range(2):
        ...     with connection:
        ...         _ = connection.execute("BEGIN IMMEDIATE")
        ...         with inbox.once(connection, "message-1") as first:
        ...             print(first)
        True
        False

    """

    def __init__(self, consumer: str) -> None:
        if not isinstance(consumer, str) or not consumer or len(consumer) > 200:
            raise Misuse(f"an inbox's consumer is {consumer!r}", hint="give 1 to 200 characters")
        self.consumer = consumer

    def __repr__(self) -> str:
        return f"<Inbox of {self.consumer!r}>"

    def create_tables(self, connection: Transaction) -> None:
        """Make the table, or bring it to this version; as `Outbox.create_tables`."""
        check_connection(connection, repr(self))
        joined().create_inbox(connection, self.consumer)

    def once(self, connection: Transaction, message: Identified | str) -> Once:
        """A block that is told whether this message is here for the first time.

        `with inbox.once(connection, message) as first: if first: ...`, or `async with`. The mark
        belongs to the transaction that is under way; one that is rolled back leaves none, and a
        block that raises takes its mark back, so that the next attempt is the first again. Raises
        Misuse on entering, outside of a transaction or without the table.
        """
        return Once(self, connection, _id_of(message, self))

    def first(self, connection: Transaction, message: Identified | str) -> bool:
        """Mark the message; whether it was not marked before. One INSERT, no commit.

        For a function that a store's `transact` runs: its whole transaction is undone if it raises.
        """
        check_transaction(connection, repr(self))
        return bool(joined().mark(connection, self.consumer, _id_of(message, self)))

    def forget(self, connection: Transaction, *, older_than: float, limit: int = 1000) -> int:
        """Remove at most `limit` marks of before `older_than` seconds, the oldest first; how many.

        Part of the transaction that is under way: keep it short, and call it again in the next one
        until it returns less than `limit`. A message that comes again after its mark is gone has
        its effect again: keep marks for longer than anybody may redeliver.
        """
        check_transaction(connection, repr(self))
        if not isinstance(older_than, (int, float)) or not 0 <= older_than < math.inf:
            raise Misuse(f"{self!r}: older_than={older_than!r} is no time", hint="give seconds")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
            raise Misuse(f"{self!r}: limit={limit!r}", hint=f"give 1 to {_MOST}")
        return int(joined().forget(connection, self.consumer, float(older_than), limit))


class Once:
    """What `Inbox.once` returns; entered once, with `with` or `async with`."""

    def __init__(self, inbox: Inbox, connection: Transaction, message: str) -> None:
        self._inbox = inbox
        self._connection = connection
        self._message = message
        self._is_first = False

    def __enter__(self) -> bool:
        self._is_first = self._inbox.first(self._connection, self._message)
        return self._is_first

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whoever catches the error and commits must not have marked what did not happen.
        if error is not None and self._is_first and self._connection.in_transaction:
            joined().unmark(self._connection, self._inbox.consumer, self._message)

    async def __aenter__(self) -> bool:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def _id_of(message: Identified | str, inbox: Inbox) -> str:
    found = message if isinstance(message, str) else getattr(message, "id", None)
    if not isinstance(found, str) or not found:
        raise Misuse(f"{inbox!r}: {message!r} has no id", hint="give the message, or its id")
    return found
