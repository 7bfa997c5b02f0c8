"""The key of a run: the caller's, or one of its own."""

from __future__ import annotations

import uuid

from penstock.errors import Misuse

__all__ = ("saga_key",)


def saga_key(saga: str, key: str | None) -> str:
    """`key`, checked; a new one if there is none."""
    if key is None:
        return uuid.uuid4().hex
    if not isinstance(key, str) or not 0 < len(key) <= 500 or not _is_text(key):
        raise Misuse(
            f"saga {saga!r}: key={key!r}",
            hint="give 1 to 500 characters that name the business case, or leave it out",
        )
    return key


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
