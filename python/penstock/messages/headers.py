"""Headers: a small mapping of text to text that travels with a message, opaque to the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from penstock.errors import Misuse

CONTENT_TYPE = "content-type"
JSON = "application/json"

_NONE: Mapping[str, str] = MappingProxyType({})


def written_headers(headers: Mapping[str, str] | None, content_type: str, queue: str) -> str | None:
    """As they are stored; None for none. JSON is not named, as nearly everything is JSON."""
    if headers is None and content_type == JSON:
        return None
    if headers is not None and (
        not isinstance(headers, Mapping)
        or not all(isinstance(k, str) and isinstance(v, str) for k, v in headers.items())
    ):
        raise Misuse(
            f"message queue {queue!r}: headers={headers!r} are not text by text",
            hint='headers={"name": "value"}',
        )
    given = dict(headers or {})
    if content_type != JSON:
        given[CONTENT_TYPE] = content_type
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")) if given else None


def read_headers(stored: str | None) -> Mapping[str, str]:
    if stored is None:
        return _NONE
    return MappingProxyType(json.loads(stored))
