"""What may be sent twice, and the same policy for what may not."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.resilience.hedge import HedgePart
from penstock.resilience.retry import RetryPart
from penstock.resilience.which import Which, takes

if TYPE_CHECKING:
    from penstock.resilience.policy import Policy
    from penstock.resilience.strategy import Part

__all__ = ("IDEMPOTENT_METHODS", "is_repeatable", "is_unsent", "once")

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
"""RFC 9110, section 9.2.2: sent twice, they do what they do once."""

# Raised before a byte of the request was sent.
_UNSENT = {
    "httpx2": ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"),
    "httpx": ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"),
    "aiohttp": ("ClientConnectorError", "ConnectionTimeoutError"),
}
_TOO_MANY = 429


def is_unsent(error: Exception) -> bool:
    """Whether the other side cannot have done anything: never reached, or refused by a 429."""
    for name, kinds in _UNSENT.items():
        library = sys.modules.get(name)
        if library is not None and isinstance(error, tuple(getattr(library, k) for k in kinds)):
            return True
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) != _TOO_MANY:
        return False
    return _is_replayable(response.request)  # type: ignore[union-attr]


def is_repeatable(request: Any) -> bool:
    """Whether a request of httpx2 or httpx may be sent twice."""
    if request.method not in IDEMPOTENT_METHODS and "Idempotency-Key" not in request.headers:
        return False
    return _is_replayable(request)


def _is_replayable(request: Any) -> bool:
    # A body that comes from an iterator is gone once it has been sent.
    return type(request.stream).__name__ == "ByteStream"


def once(policy: Policy) -> Policy:
    """The policy with all its states for what may happen only once.

    It hedges nothing, and tries again only what never reached the other side.
    """
    return policy.changed(_not_twice)


def _not_twice(part: Part) -> Part | None:
    if isinstance(part, HedgePart):
        return None
    if isinstance(part, RetryPart):
        changed = copy.copy(part)
        changed.retry = replace(part.retry, on=_unsent(part.retry.on), on_result=None)
        return changed
    return part


def _unsent(which: Which) -> Which:
    def on(error: Exception) -> bool:
        return is_unsent(error) and takes(which, error)

    return on
