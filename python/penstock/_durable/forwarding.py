"""What one durable room hands on to another: payloads that are encoded, under ids that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from .codec import Codec


class Forwarded(NamedTuple):
    """A message as it is stored. Its id is its dedupe value as well."""

    id: str
    key: str | None
    headers: str | None
    """Written, as `written_headers` does."""
    payload: bytes


@runtime_checkable
class Forwards(Protocol):
    """Takes messages of another room, each id once; all of a call or none.

    `open` and `close` block; between them `forward` may be awaited on any loop.
    """

    codec: Codec

    def open(self) -> None: ...
    def close(self) -> None: ...
    async def forward(self, messages: Sequence[Forwarded], /) -> None: ...
