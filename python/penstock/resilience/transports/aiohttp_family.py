"""The errors that are aiohttp's as well. Imported once a middleware is made."""

from __future__ import annotations

from typing import Any

import aiohttp

from penstock.resilience import errors

__all__ = ("ALSO", "FailedStatus")


class FailedStatus(aiohttp.ClientResponseError):
    """An answer that counts as a failure, as long as the policy goes on."""

    def __init__(self, answer: Any) -> None:
        super().__init__(
            answer.request_info,
            answer.history,
            status=answer.status,
            message=answer.reason or "",
            headers=answer.headers,
        )
        self.answer = answer


class CircuitOpen(errors.CircuitOpen, aiohttp.ClientConnectionError):
    """Also a ClientConnectionError."""


class BulkheadFull(errors.BulkheadFull, aiohttp.ClientConnectionError):
    """Also a ClientConnectionError."""


class LimitExceeded(errors.LimitExceeded, aiohttp.ClientConnectionError):
    """Also a ClientConnectionError."""


class RateLimited(errors.RateLimited, aiohttp.ClientConnectionError):
    """Also a ClientConnectionError."""


class DeadlineExceeded(errors.DeadlineExceeded, aiohttp.ServerTimeoutError):
    """Also a ServerTimeoutError."""


class AttemptTimeout(errors.AttemptTimeout, aiohttp.ServerTimeoutError):
    """Also a ServerTimeoutError."""


ALSO: dict[type, type] = {
    errors.CircuitOpen: CircuitOpen,
    errors.BulkheadFull: BulkheadFull,
    errors.LimitExceeded: LimitExceeded,
    errors.RateLimited: RateLimited,
    errors.DeadlineExceeded: DeadlineExceeded,
    errors.AttemptTimeout: AttemptTimeout,
}
"""What each error of a policy becomes, in place."""
