"""`ProjectionState`: how far a read model has come."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("ProjectionState",)


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """How far a projection has come."""

    position: int
    """The place of the last event that it has in its tables."""
    last: int
    """The newest event of the log; of one that is sent its events, the newest it was sent."""
    ahead: int
    """Events that came too early and wait for those before them."""
    is_rebuilding: bool
    is_outdated: bool
    """Whether its tables were made by another `version`: `rebuild()` makes them anew."""

    @property
    def lag(self) -> int:
        """How many events it is behind."""
        return max(0, self.last - self.position)
