"""Events that were given up, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from penstock._durable.headers import read_headers
from penstock._durable.pages import Page
from penstock.errors import Misuse

from .store import Dead

__all__ = ("DeadEvent",)

_LARGEST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """One event that was given up. It keeps its id, and is kept until it is redriven."""

    id: str
    topic: str
    key: str | None
    attempts: int
    reason: str
    headers: Mapping[str, str]
    payload: bytes
    """As it was stored: it may be what could not be decoded."""
    created_at: float
    """Seconds since 1970, by the database's clock."""
    died_at: float
    """Seconds since 1970, by the database's clock."""


def page(rows: Sequence[Dead], limit: int) -> Page[DeadEvent]:
    """A page of at most `limit`, of rows that were asked for one beyond it."""
    events = tuple(
        DeadEvent(
            id=row.id,
            topic=row.topic,
            key=row.key,
            attempts=row.attempts,
            reason=row.reason,
            headers=read_headers(row.headers),
            payload=row.payload,
            created_at=row.created_at,
            died_at=row.died_at,
        )
        for row in rows[:limit]
    )
    following = str(rows[limit - 1].seq) if len(rows) > limit else None
    return Page(events, tuple(each.id for each in events), following)


def bounds(limit: int, after: str | None, whose: str) -> tuple[int, int]:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
        _refuse(f"{whose}: limit={limit!r}", f"give 1 to {_LARGEST_PAGE}, and go on with after=")
    try:
        return (0 if after is None else int(after)), limit
    except (TypeError, ValueError):
        _refuse(f"{whose}: after={after!r} is not the `next` of a page", "after=page.next")


def _refuse(complaint: str, hint: str) -> NoReturn:
    raise Misuse(complaint, hint=hint)
