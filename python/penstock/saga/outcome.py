"""How a saga stands, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ("Outcome", "SagaState")


class SagaState(StrEnum):
    """Where a saga stands; also the word itself: `outcome.state == "completed"`."""

    RUNNING = "running"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether it stays so unless somebody resumes it."""
        return self not in {SagaState.RUNNING, SagaState.COMPENSATING}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one saga ended: completed, compensated or parked."""

    saga: str
    key: str
    state: SagaState
    results: Mapping[str, Any]
    """What the steps that were done returned, by name; of compensated ones, too."""
    step: str | None = None
    """The step that failed, if one did."""
    error: str | None = None
    """Why it failed, or why the saga is parked."""
    exception: BaseException | None = field(default=None, repr=False, compare=False)
    """What the step raised, if that was in this process."""
