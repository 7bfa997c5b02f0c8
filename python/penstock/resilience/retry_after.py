"""What the other side asks for: `Retry-After`, as an attribute or a header."""

from __future__ import annotations

import math
import time

__all__ = ("retry_after",)


def retry_after(error: Exception) -> float | None:
    """Seconds that `error` asks to wait; None if it does not say so.

    Reads a number from its `retry_after`, else the header Retry-After of its `response`, in
    seconds or as a date (httpx2, httpx, requests, aiohttp). What is neither is not said.
    """
    own = getattr(error, "retry_after", None)
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        return max(0.0, float(own)) if math.isfinite(own) else None
    response = getattr(error, "response", None)
    # aiohttp and urllib have them on the error itself.
    headers = getattr(error if response is None else response, "headers", None)
    get = None if headers is None else getattr(headers, "get", None)
    if not callable(get):
        return None
    value = get("Retry-After") or get("retry-after")  # the second for a plain dict
    return _parse(value) if isinstance(value, str) else None


def _parse(value: str) -> float | None:
    value = value.strip()
    if value.isascii() and value.isdigit():
        # A number too long for a float is a wait nobody means.
        return float(value) if len(value) < 20 else None
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
