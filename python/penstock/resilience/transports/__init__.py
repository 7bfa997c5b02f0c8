"""A policy below an HTTP client: around each request that it sends, keyed by where it goes."""

from __future__ import annotations

from .clients import also
from .origins import origin_of
from .repeats import IDEMPOTENT_METHODS, once
from .statuses import FAILED_STATUSES

__all__ = ("FAILED_STATUSES", "IDEMPOTENT_METHODS", "also", "once", "origin_of")
