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
        return not self.only or any(self.names(each, kind) for each in self.only)

    @staticmethod
    def names(only: Kind, kind: Kind) -> bool:
        """Whether `only` stands for `kind`: as itself, or as a base of it."""
        if isinstance(only, type) and isinstance(kind, type):
            return issubclass(kind, only)
        return only == kind


@dataclass(slots=True)
class Entry:
    """One kind of message: its handler, and the function that a call of it is."""

    handler: Handler
    is_reentrant: bool
    events: tuple[Kind, ...] = ()
    behaviours: list[Any] = field(default_factory=list)
