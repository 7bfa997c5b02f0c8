"""What is sent and what is made of an answer: JSON by msgspec or pydantic, bytes, the response."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import httpx2

from penstock._durable.codec import JsonCodec, Undecodable
from penstock.errors import Misuse

from .errors import UnexpectedBody

__all__ = ("decoded", "decoder", "encoded")

_PLAIN = JsonCodec()


def encoded(name: str, value: Any) -> bytes:
    """JSON. Raises Misuse for a value that has none."""
    dump = getattr(value, "model_dump_json", None)  # of pydantic
    if dump is not None:
        text: str = dump()
        return text.encode()
    try:
        return _PLAIN.encode(value)
    except (TypeError, ValueError) as error:
        core = sys.modules.get("pydantic_core")
        if core is not None:  # lists and dicts of models
            try:
                made: bytes = core.to_json(value)
            except ValueError:
                pass
            else:
                return made
        raise Misuse(f"{name}: json= cannot be written: {error}") from error


@lru_cache(maxsize=512)
def decoder(into: Any) -> Callable[[bytes], Any] | None:
    """What decodes as `into`; None where the response itself is wanted.

    Raises Misuse for a type that nothing installed can decode to.
    """
    if into is httpx2.Response:
        return None
    if into is bytes:
        return bytes
    if into is None:
        return _PLAIN.decode
    validate: Callable[[bytes], Any] | None = getattr(into, "model_validate_json", None)
    if validate is not None:
        return validate
    pydantic = sys.modules.get("pydantic")
    try:
        return JsonCodec(into).decode
    except Misuse:
        if pydantic is None:
            raise
        try:
            adapter: Callable[[bytes], Any] = pydantic.TypeAdapter(into).validate_json
        except pydantic.PydanticUserError as error:
            raise Misuse(f"into={into!r} cannot be decoded from JSON: {error}") from error
        return adapter


def decoded(name: str, response: httpx2.Response, into: Any) -> Any:
    """The body as `into`. Raises UnexpectedBody if it is something else."""
    decode = decoder(into)
    if decode is None:
        return response
    content = response.content
    if not content and into is None:
        return None
    try:
        return decode(content)
    except (Undecodable, ValueError) as error:
        request = response.request
        raise UnexpectedBody(
            f"{name}: {request.method} {request.url} answered {response.status_code} with a body "
            f"that is not {_named(into)}: {error}",
            request=request,
            response=response,
        ) from error


def _named(into: Any) -> str:
    if into is None:
        return "JSON"
    return (
        into.__qualname__
        if isinstance(into, type) and not hasattr(into, "__args__")
        else repr(into)
    )
