"""Calls to another service over HTTP: JSON in and out, under a policy. Needs `penstock[client]`."""

from __future__ import annotations

from penstock.tracing.arrival import Received, received

from . import _extra as _extra  # first: says what is missing
from .client import ServiceClient
from .errors import (
    CallerError,
    Forbidden,
    NotFound,
    ServerError,
    StateConflict,
    StatusError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedBody,
)
from .parallel import or_else, parallel
from .sync import SyncServiceClient

__all__ = (
    "CallerError",
    "Forbidden",
    "NotFound",
    "Received",
    "ServerError",
    "ServiceClient",
    "StateConflict",
    "StatusError",
    "SyncServiceClient",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedBody",
    "or_else",
    "parallel",
    "received",
)
