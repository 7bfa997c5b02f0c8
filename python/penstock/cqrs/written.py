"""Events that are written as soon as they are recorded, on the connection of their rows."""

from __future__ import annotations

from typing import Any

from penstock.outbox import Outbox
from penstock.outbox.transactions import Transaction

from .log import SEQ, EventLog
from .unit import Recorded

__all__ = ("Written",)


class Written:
    """Writes events into a log, an outbox or both, in one transaction; see `Events`."""

    __slots__ = ("_connection", "_log", "_outbox")

    def __init__(
        self, connection: Transaction, outbox: Outbox[Any] | None, log: EventLog | None
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._log = log

    def write(self, recorded: Recorded, /) -> None:
        """See `Events`."""
        connection, log = self._connection, self._log
        headers = None
        if log is not None:
            seq = log.add(
                connection, topic=recorded.topic, payload=recorded.event, key=recorded.key
            )
            # So that a projection which is sent the event knows its place.
            headers = {SEQ: f"{log.name}:{seq}"}
        if self._outbox is not None:
            self._outbox.add(
                connection,
                topic=recorded.topic,
                payload=recorded.event,
                key=recorded.key,
                headers=headers,
            )
