"""Headers: a small mapping of text to text that travels with a payload, opaque to the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from penstock import tracing
from penstock.errors import Misuse

CONTENT_TYPE = "content-type"
JSON = "application/json"
TRACEPARENT = "traceparent"

_NONE: Mapping[str, str] = MappingProxyType({})


def checked_headers(headers: Mapping[str, str] | None, whose: str) -> Mapping[str, str] | None:
    """As they were given. Raises Misuse for what is not text by text."""
    if headers is not None and (
        not isinstance(headers, Mapping)
        or not all(isinstance(k, str) and isinstance(v, str) for k, v in headers.items())
    ):
        raise Misuse(
            f"{whose}: headers={headers!r} are not text by text",
            hint='headers={"name": "value"}',
        )
    return headers


def written_headers(
    headers: Mapping[str, str] | None, content_type: str, trace: Mapping[str, str] | None = None
) -> str | None:
    """As they are stored; None for none. JSON is not named, as nearly everything is JSON.

    `trace` are the headers of the current trace; they give way to a `traceparent` that is there.
    """
    if headers is None and trace is None and content_type == JSON:
        return None
    given = dict(headers or {})
    if trace is not None and TRACEPARENT not in given:
        given.update(trace)
    if content_type != JSON:
        given[CONTENT_TYPE] = content_type
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")) if given else None


def read_headers(stored: str | None) -> Mapping[str, str]:
    if stored is None:
        return _NONE
    return MappingProxyType(json.loads(stored))


def recorded_trace() -> Mapping[str, str] | None:
    """The headers of the current span, if it is recorded; a tenth of a microsecond if none is."""
    span = tracing.current_span()
    if span is None or not span.is_recording:
        return None
    return tracing.TraceContext.current().to_headers()
