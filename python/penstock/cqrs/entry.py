"""What a bus has registered: handlers with their behaviours, and which behaviours are for which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .behaviour import Behaviour
from .handler import Handler
from .message import Kind
from .stream_behaviour import StreamBehaviour

__all__ = ("Entry", "Use")


@dataclass(frozen=True, slots=True)
class Use:
    """A behaviour, and which kinds of messages it is for."""

    behaviour: Behaviour | StreamBehaviour
    only: tuple[Kind, ...]

    def is_for(self, kind: Kind) -> bool:
        """Whether it runs around the handler of `kind`."""
        return not self.only or any(
            kind == each
            or (isinstance(kind, type) and isinstance(each, type) and issubclass(kind, each))
            for each in self.only
        )


@dataclass(slots=True)
class Entry:
    """One kind of message: its handler, and the function that a call of it is."""

    handler: Handler
    is_reentrant: bool
    events: tuple[Kind, ...] = ()
    behaviours: list[Any] = field(default_factory=list)
