"""Checks of what a client is made with and asked for, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from penstock.errors import Misuse
from penstock.resilience.strategy import check_count
from penstock.resilience.transports import origin_of

__all__ = ("checked_base", "checked_headers", "checked_path", "checked_pool")


def checked_base(base_url: str) -> httpx2.URL:
    """The base as a URL whose path ends with a slash. Raises Misuse for what is none."""
    try:
        url = httpx2.URL(base_url)
    except (TypeError, httpx2.InvalidURL) as error:
        raise Misuse(f"ServiceClient: base_url={base_url!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise Misuse(
            f"ServiceClient: base_url={base_url!r} is no http or https URL with a host",
            hint='such as "https://user-service" or "http://localhost:8080/api"',
        )
    if url.query or url.fragment:
        raise Misuse(
            f"ServiceClient: base_url={base_url!r} has a query or a fragment",
            hint="paths are appended to it; parameters belong to each call",
        )
    return httpx2.URL(str(url).rstrip("/") + "/")


def checked_path(name: str, base: httpx2.URL, origin: str, path: str) -> str:
    """The whole address. Raises Misuse for one of another origin."""
    if not isinstance(path, str):
        raise Misuse(f"{name}: the path {path!r} is no string")
    if "://" not in path and not path.startswith("//"):
        return f"{base}{path.lstrip('/')}"
    url = base.join(path)
    if origin_of(httpx2.Request("GET", url)) != origin:
        raise Misuse(
            f"{name}: {path} is not at {origin}",
            hint="it would be sent this service's headers and credentials; make it a client of "
            "its own",
        )
    return str(url)


def checked_headers(name: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """A copy. Raises Misuse for what is not text by text."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in headers.items()
    ):
        raise Misuse(
            f"{name}: headers={headers!r} are not text by text", hint='headers={"name": "value"}'
        )
    return dict(headers)


def checked_pool(name: str, max_connections: int, max_keepalive: int) -> httpx2.Limits:
    """Raises Misuse for values out of range."""
    check_count(name, "max_connections", max_connections, 1)
    check_count(name, "max_keepalive", max_keepalive, 0)
    return httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_keepalive)
