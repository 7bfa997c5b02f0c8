"""The transports, streams and errors that are httpx2's as well. Imported once httpx2 has been.

Code that had `except httpx2.ConnectError` around its requests goes on working when a policy is put
below them: an open circuit is a failure to connect, no place a full pool, a timeout a timeout.
"""

from __future__ import annotations

import httpx2

from penstock.resilience import errors

from .awaited import AwaitedTransport, CutBody, HeldBody
from .blocking import BlockingCutBody, BlockingHeldBody, BlockingTransport

__all__ = ("ALSO", "FailedStatus")


class FailedStatus(httpx2.HTTPStatusError):
    """An answer that counts as a failure, as long as the policy goes on."""


class AsyncPolicyTransport(AwaitedTransport, httpx2.AsyncBaseTransport):
    """For `AsyncClient`."""


class PolicyTransport(BlockingTransport, httpx2.BaseTransport):
    """For `Client`."""


class AsyncHeldStream(HeldBody, httpx2.AsyncByteStream):
    """For responses to `AsyncClient`."""


class AsyncCutStream(CutBody, httpx2.AsyncByteStream):
    """For responses to `AsyncClient`."""


class HeldStream(BlockingHeldBody, httpx2.SyncByteStream):
    """For responses to `Client`."""


class CutStream(BlockingCutBody, httpx2.SyncByteStream):
    """For responses to `Client`."""


class CircuitOpen(errors.CircuitOpen, httpx2.ConnectError):
    """Also a ConnectError."""


class BulkheadFull(errors.BulkheadFull, httpx2.PoolTimeout):
    """Also a PoolTimeout."""


class LimitExceeded(errors.LimitExceeded, httpx2.PoolTimeout):
    """Also a PoolTimeout."""


class RateLimited(errors.RateLimited, httpx2.PoolTimeout):
    """Also a PoolTimeout."""


class TooManyAbandoned(errors.TooManyAbandoned, httpx2.PoolTimeout):
    """Also a PoolTimeout."""


class DeadlineExceeded(errors.DeadlineExceeded, httpx2.TimeoutException):
    """Also a TimeoutException."""


class AttemptTimeout(errors.AttemptTimeout, httpx2.TimeoutException):
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
