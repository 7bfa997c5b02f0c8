"""How a payload becomes bytes and comes back: JSON by default, anything else by protocol.

Never pickle: what is stored outlives the code that wrote it, and may have been written by others.
With msgspec installed (`penstock[messages]`) JSON goes through it, at its speed and with its
types; without it through the standard library, for plain data and dataclasses of plain data.
Both write the same JSON, so either reads what the other has written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

from penstock.errors import Misuse

from .plain import Unconvertible, as_plain, converter

__all__ = ("Codec", "JsonCodec", "Undecodable", "Unencodable")


class Undecodable(ValueError):
    """A payload that is not what was expected."""


class Unencodable(TypeError):
    """A value that the codec cannot write."""


class Codec(Protocol):
    """Encodes values of one type, and decodes them again. Called from any thread.

    `encode` raises TypeError or ValueError for a value it cannot write, `decode` any exception for
    bytes it cannot read. `content_type` travels with the payload where it is not JSON.
    """

    content_type: str

    def encode(self, value: Any, /) -> bytes: ...
    def decode(self, payload: bytes, /) -> Any: ...


class JsonCodec:
    """JSON, decoded as `type`; None leaves plain lists, dicts, strings and numbers.

    Raises Misuse for a type that cannot be decoded to with what is installed.
    """

    content_type = "application/json"

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]

    def __init__(self, type: Any = None) -> None:
        if find_spec("msgspec") is not None:
            self.encode, self.decode = _by_msgspec(type)
        else:
            self.encode, self.decode = _by_standard_library(type)


def _by_msgspec(type: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    import msgspec
    import msgspec.inspect

    wanted = Any if type is None else type
    try:
        # The decoder would take a class that it does not know, and then refuse every value.
        if isinstance(msgspec.inspect.type_info(wanted), msgspec.inspect.CustomType):
            raise _undecodable_type(type, "msgspec does not know it")
        decoder = msgspec.json.Decoder(wanted)
    except (TypeError, ValueError, NameError) as error:
        if isinstance(error, Misuse):
            raise
        raise _undecodable_type(type, str(error)) from error
    encoder = msgspec.json.Encoder()

    def encode(value: Any) -> bytes:
        try:
            return encoder.encode(value)
        except (
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
            msgspec.MsgspecError,
        ) as error:
            raise Unencodable(str(error)) from error

    def decode(payload: bytes) -> Any:
        try:
            return decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Undecodable(str(error)) from error

    return encode, decode


def _by_standard_library(type: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    try:
        convert = converter(Any if type is None else type)
    except Unconvertible as error:
        raise _undecodable_type(type, str(error)) from error

    def encode(value: Any) -> bytes:
        try:
            text = json.dumps(
                value,
                default=as_plain,
                ensure_ascii=False,
                allow_nan=False,
                separators=(",", ":"),
            )
            return text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Unencodable(str(error)) from error

    def decode(payload: bytes) -> Any:
        try:
            return convert(json.loads(payload))
        except (ValueError, RecursionError) as error:
            raise Undecodable(str(error)) from error

    return encode, decode


def _undecodable_type(type: Any, why: str) -> Misuse:
    return Misuse(
        f"type={type!r} cannot be decoded from JSON: {why}",
        hint="use dataclasses of plain data, install penstock[messages] for msgspec's types, "
        "or give codec=",
    )
