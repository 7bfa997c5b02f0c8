"""Where a request goes: what states are kept apart by."""

from __future__ import annotations

from typing import Any

__all__ = ("origin_of",)

_PORTS = {"http": 80, "https": 443}


def origin_of(request: Any) -> str:
    """Scheme, host and port of a request of httpx2, httpx or aiohttp, such as "https://a.b:443"."""
    url = request.url
    scheme = url.scheme
    port = url.port or _PORTS.get(scheme, 0)
    host = url.host
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
