"""As much of HTTP/1.1 as the refund desk speaks; standard library only.

POST with a JSON body and a length, answered with JSON, one request after the other on each
connection.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, NamedTuple

__all__ = ("LONGEST_BODY", "Asked", "NoRequest", "answered", "read")

LONGEST_BODY = 65_536
_LONGEST_HEAD = 16_384


class NoRequest(ValueError):
    """What came is not HTTP as it is spoken here; the connection ends."""


class Asked(NamedTuple):
    """A request: where to, under which key, and what."""

    method: str
    path: str
    key: str
    body: bytes


async def read(reader: asyncio.StreamReader) -> Asked | None:
    """The next request of a connection; None at its end. Raises NoRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise NoRequest("the connection ended in the middle of a head") from None
        return None
    except asyncio.LimitOverrunError:
        raise NoRequest("the head is too long") from None
    if len(head) > _LONGEST_HEAD:
        raise NoRequest("the head is too long")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise NoRequest(f"{first[:100]!r} is no request")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise NoRequest(f"{line[:100]!r} is no header")
        fields[name.lower()] = value.strip()
    length = fields.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 9:
        raise NoRequest(f"Content-Length: {length[:100]}")
    if int(length) > LONGEST_BODY or "transfer-encoding" in fields:
        raise NoRequest("the body is too long, or does not say how long it is")
    try:
        body = await reader.readexactly(int(length))
    except asyncio.IncompleteReadError:
        raise NoRequest("the connection ended in the middle of a body") from None
    return Asked(words[0], words[1], fields.get("idempotency-key", ""), body)


def answered(status: HTTPStatus, answer: dict[str, Any]) -> bytes:
    """A response, whole."""
    body = json.dumps(answer).encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 0")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
