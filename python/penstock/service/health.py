"""What a service says about itself and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ("PartHealth", "ServiceHealth", "State")


class State(StrEnum):
    """Where a service or a part stands; also the word itself: `service.state == "running"`."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part, at one moment."""

    name: str
    state: State
    is_healthy: bool
    """It runs, and says of itself that it is well if it can say so."""
    detail: str = ""
    """What is wrong, where that is known."""


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service and its parts, at one moment."""

    name: str
    state: State
    is_healthy: bool
    """It runs, and every part is healthy."""
    parts: tuple[PartHealth, ...]

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.state}, {'healthy' if self.is_healthy else 'not healthy'}"]
        width = max((len(part.name) for part in self.parts), default=0)
        for part in self.parts:
            word = "" if part.is_healthy or part.state is not State.RUNNING else ", not healthy"
            detail = f": {part.detail}" if part.detail else ""
            lines.append(f"  {part.name:<{width}}  {part.state}{word}{detail}")
        return "\n".join(lines)
