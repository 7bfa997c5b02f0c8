"""Whoever hears of the outcomes: passes each notice on to the passengers, once.

It fails as the seed has it, so that attempts, pauses and dead letters are seen.
"""

from __future__ import annotations

import time
from typing import Any

from penstock.messages import Message
from penstock.metrics import Histogram
from penstock.outbox import Inbox
from penstock.saga import SagaStore

from . import inventory, rules

__all__ = ("INBOX", "Notices")


INBOX = Inbox("passengers")


class NoticeFailed(Exception):
    """The passengers could not be reached."""


class Notices:
    """The consumer's handler. `repaired` ends the failures that no attempt gets over."""

    def __init__(self, seed: int, store: SagaStore, end_to_end: Histogram) -> None:
        self._seed = seed
        self._store = store
        self._end_to_end = end_to_end
        self.begun: dict[str, float] = {}
        """When a case was begun here, by the monotonic clock, until its notice has gone out."""
        self.repaired = False

    async def handle(self, message: Message[dict[str, Any]]) -> None:
        """Enter the notice; a repeated message changes nothing."""
        case = message.data["case"]
        if rules.notice_fails(self._seed, case, message.attempt, repaired=self.repaired):
            raise NoticeFailed(f"the passengers of {case} cannot be reached")
        await self._store.transact(self._enter, message.id, case, message.data["outcome"])
        began = self.begun.pop(case, None)
        if began is not None:
            self._end_to_end.record(time.perf_counter() - began)

    def _enter(self, tx: Any, event: str, case: str, outcome: str) -> None:
        if INBOX.first(tx, event):
            inventory.note(tx, event, case, outcome)
