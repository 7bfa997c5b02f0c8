"""Which of two implementations answers a call: by header, by key, by share."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Generator, Hashable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

from penstock.errors import Misuse

__all__ = ("Routing", "Side", "forced")

Side: TypeAlias = Literal["old", "new"]

_forced: ContextVar[Side | None] = ContextVar("penstock_strangler_side", default=None)


@contextmanager
def forced(side: Side) -> Generator[None]:
    """Has the calls of the block, and of tasks begun in it, answered by one side.

    For tests, and for a middleware that knows who is to see the new one. Over every other rule,
    also after a fall-back. Raises Misuse for what is no side.
    """
    if side not in {"old", "new"}:
        raise Misuse(f"forced({side!r}) is no side", hint='"old", or "new"')
    token = _forced.set(side)
    try:
        yield
    finally:
        _forced.reset(token)


class Routing:
    """The rules of one strangler, asked for each call."""

    def __init__(
        self,
        name: str,
        key: Callable[..., Hashable] | None,
        keys: Collection[Hashable] | Callable[[Any], bool] | None,
        header: str | None,
        headers: Callable[..., Mapping[str, str]] | None,
    ) -> None:
        if key is not None and not callable(key):
            raise Misuse(f"strangler {name!r}: key={key!r} is no function of the arguments")
        if keys is not None and key is None:
            raise Misuse(
                f"strangler {name!r}: keys= needs key=", hint="key=lambda request: request.user"
            )
        if keys is not None and not callable(keys) and isinstance(keys, str | bytes):
            raise Misuse(f"strangler {name!r}: keys={keys!r}", hint="a set of keys, or a function")
        if keys is not None and not callable(keys):
            try:
                keys = frozenset(keys)
            except TypeError as error:
                raise Misuse(
                    f"strangler {name!r}: keys={keys!r}", hint="a set of keys, or a function"
                ) from error
        if header is not None and (not isinstance(header, str) or not header):
            raise Misuse(f"strangler {name!r}: header={header!r} is no name of a header")
        if headers is not None and (header is None or not callable(headers)):
            raise Misuse(
                f"strangler {name!r}: headers={headers!r}",
                hint="a function of the call's arguments, beside header=",
            )
        self._name = name.encode()
        self._key = key
        self._keys = keys
        self._header = None if header is None else header.lower()
        self._headers = headers or _headers_of

    def side(self, share: float, is_open: bool, args: Any, kwargs: Any) -> Side:
        """Of one call, where so large a share goes to the new one; `is_open` says if keys do."""
        side = _forced.get()
        if side is not None:
            return side
        if self._header is not None:
            asked = self._asked(self._header, args, kwargs)
            if asked is not None:
                return asked
        if self._key is None:
            return "new" if share and random.random() < share else "old"  # noqa: S311 - no secret
        if not share and (self._keys is None or not is_open):
            return "old"
        key = self._key(*args, **kwargs)
        keys = self._keys
        if keys is not None and is_open and (keys(key) if callable(keys) else key in keys):
            return "new"
        return "new" if share and self._place(key) < share else "old"

    def _place(self, key: Hashable) -> float:
        """Where the key is between 0 and 1: the same in every process, another for each name."""
        seed = key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(seed, digest_size=8, key=self._name[:64]).digest()
        return int.from_bytes(digest, "big") / 2**64

    def _asked(self, header: str, args: Any, kwargs: Any) -> Side | None:
        headers = self._headers(*args, **kwargs)
        value = headers.get(header) if headers else None
        if value is None and headers and type(headers) is dict:
            # Those of frameworks do not mind the case; a plain dict does.
            value = next((v for k, v in headers.items() if k.lower() == header), None)
        asked = value.strip().lower() if isinstance(value, str) else None
        return asked if asked in {"old", "new"} else None  # type: ignore[return-value]


def _headers_of(*args: Any, **kwargs: Any) -> Any:
    """Those of the first argument that has any, as requests do."""
    for each in (*args, *kwargs.values()):
        headers = getattr(each, "headers", None)
        if headers is not None:
            return headers
    return None
