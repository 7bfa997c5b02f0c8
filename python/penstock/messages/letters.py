"""Messages that were given up, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock._durable.headers import read_headers

from .store import Dead

__all__ = ("DeadLetter", "letter")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was given up. It keeps its id, and is kept until it is redriven."""

    id: str
    key: str | None
    attempts: int
    reason: str
    traceback: str
    """Of the last attempt; empty where no exception decided."""
    headers: Mapping[str, str]
    payload: bytes
    """As it was stored: it may be what could not be decoded."""
    enqueued_at: float
    """Seconds since 1970, by the store's clock; of the last redrive, if there was one."""
    died_at: float
    """Seconds since 1970, by the store's clock."""


def letter(dead: Dead) -> DeadLetter:
    return DeadLetter(
        id=dead.id,
        key=dead.key,
        attempts=dead.attempt,
        reason=dead.reason,
        traceback=dead.traceback,
        headers=read_headers(dead.headers),
        payload=dead.payload,
        enqueued_at=dead.enqueued_at,
        died_at=dead.died_at,
    )
