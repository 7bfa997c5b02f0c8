"""One call, as it was asked for; what a cache remembers answers by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("Call",)


class Call:
    """Equal calls ask for the same: method, URL, parameters, headers of the call and body."""

    __slots__ = ("_hash", "content", "headers", "method", "params", "url")

    def __init__(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        headers: dict[str, str],
        content: bytes | None,
    ) -> None:
        self.method = method
        self.url = url
        self.params = params
        self.headers = headers
        self.content = content
        self._hash: int | None = None

    def _identity(self) -> tuple[object, ...]:
        headers = tuple(sorted((name.lower(), value) for name, value in self.headers.items()))
        params = None if self.params is None else repr(sorted(self.params.items()))
        return (self.method, self.url, params, headers, self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self._identity() == other._identity()

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self._identity())
        return self._hash

    def __repr__(self) -> str:
        return f"<{self.method} {self.url}>"
