"""The transports, streams and errors that are httpx's as well. Imported once httpx has been.

Code that had `except httpx.ConnectError` around its requests goes on working when a policy is put
below them: an open circuit is a failure to connect, no place a full pool, a timeout a timeout.
"""

from __future__ import annotations

import httpx

from penstock.resilience import errors

from .awaited import AwaitedTransport, CutBody, HeldBody
from .blocking import BlockingCutBody, BlockingHeldBody, BlockingTransport

__all__ = ("ALSO", "FailedStatus")


class FailedStatus(httpx.HTTPStatusError):
    """An answer that counts as a failure, as long as the policy goes on."""


class AsyncPolicyTransport(AwaitedTransport, httpx.AsyncBaseTransport):
    """For `AsyncClient`."""


class PolicyTransport(BlockingTransport, httpx.BaseTransport):
    """For `Client`."""


class AsyncHeldStream(HeldBody, httpx.AsyncByteStream):
    """For responses to `AsyncClient`."""


class AsyncCutStream(CutBody, httpx.AsyncByteStream):
    """For responses to `AsyncClient`."""


class HeldStream(BlockingHeldBody, httpx.SyncByteStream):
    """For responses to `Client`."""


class CutStream(BlockingCutBody, httpx.SyncByteStream):
    """For responses to `Client`."""


class CircuitOpen(errors.CircuitOpen, httpx.ConnectError):
    """Also a ConnectError."""


class BulkheadFull(errors.BulkheadFull, httpx.PoolTimeout):
    """Also a PoolTimeout."""


class LimitExceeded(errors.LimitExceeded, httpx.PoolTimeout):
    """Also a PoolTimeout."""


class RateLimited(errors.RateLimited, httpx.PoolTimeout):
    """Also a PoolTimeout."""


class TooManyAbandoned(errors.TooManyAbandoned, httpx.PoolTimeout):
    """Also a PoolTimeout."""


class DeadlineExceeded(errors.DeadlineExceeded, httpx.TimeoutException):
    """Also a TimeoutException."""


class AttemptTimeout(errors.AttemptTimeout, httpx.TimeoutException):
    """Also a TimeoutException."""


ALSO: dict[type, type] = {
    errors.CircuitOpen: CircuitOpen,
    errors.BulkheadFull: BulkheadFull,
    errors.LimitExceeded: LimitExceeded,
    errors.RateLimited: RateLimited,
    errors.TooManyAbandoned: TooManyAbandoned,
    errors.DeadlineExceeded: DeadlineExceeded,
    errors.AttemptTimeout: AttemptTimeout,
}
"""What each error of a policy becomes, in place."""
