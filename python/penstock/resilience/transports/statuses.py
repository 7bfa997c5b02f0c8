"""Which answers are failures of the other side, and not of whoever asked."""

from __future__ import annotations

from collections.abc import Collection

from penstock.errors import Misuse

__all__ = ("FAILED_STATUSES", "check_statuses")

FAILED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
"""Tried again, and counted by the breaker. 501, 505 and their like would be the same each time."""


def check_statuses(policy: str, statuses: object) -> frozenset[int]:
    """Raises Misuse for what is no collection of status codes."""
    if not isinstance(statuses, Collection) or isinstance(statuses, (str, bytes)):
        raise Misuse(f"policy {policy!r}: statuses={statuses!r} is no collection of numbers")
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
            raise Misuse(
                f"policy {policy!r}: {status!r} is no status of a failure", hint="from 400 to 599"
            )
    return frozenset(statuses)
