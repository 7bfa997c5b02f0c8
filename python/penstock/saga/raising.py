"""How the end of a saga reaches a caller who asked for its success."""

from __future__ import annotations

from .errors import SagaCompensated, SagaParked
from .outcome import Outcome, SagaState

__all__ = ("raise_unless_completed",)


def raise_unless_completed(outcome: Outcome) -> None:
    """Raise what the step raised, where that is known here; else an error that tells of it."""
    if outcome.state is SagaState.COMPLETED:
        return
    what = f"saga {outcome.saga!r}, key {outcome.key!r}"
    if outcome.state is SagaState.PARKED:
        raise SagaParked(
            f"{what} is parked: {outcome.error}",
            hint="mend the cause, then `penstock saga resume` or SagaStore.resume",
        ) from outcome.exception
    if outcome.exception is not None:
        note = f"{what}: what had been done is compensated"
        if note not in getattr(outcome.exception, "__notes__", ()):  # Several may wait for it.
            outcome.exception.add_note(note)
        raise outcome.exception
    raise SagaCompensated(
        f"{what}: step {outcome.step!r} failed ({outcome.error}), and what had been done is "
        "compensated",
        hint="the history of the saga has the traceback",
    )
