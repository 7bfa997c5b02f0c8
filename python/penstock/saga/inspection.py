"""Sagas as an operator sees them: what each is doing, and everything it has done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from penstock._durable.engines import Address
from penstock.errors import Misuse

from .outcome import SagaState
from .store import Found, Line, SagaEngine

__all__ = ("SagaRecord", "SagaStep", "inspected", "record", "step_of")


@dataclass(frozen=True, slots=True)
class SagaRecord:
    """One saga, at one moment."""

    saga: str
    key: str
    state: SagaState
    is_owned: bool
    """Whether a process runs it, or did until its lease ends."""
    fence: int
    """How often it was begun, taken over or resumed."""
    crashes: int
    """Processes that the step at hand has lost in a row."""
    started_at: float
    """Seconds since 1970, by the store's clock."""
    changed_at: float
    step: str | None
    """The step that failed, if one did."""
    error: str | None
    """Why it failed, or is parked."""
    context: bytes
    """As it is stored: JSON."""
    traceparent: str | None
    """The trace it belongs to."""


@dataclass(frozen=True, slots=True)
class SagaStep:
    """One attempt that ended, or a note."""

    step: str
    """Of a note, who made it."""
    phase: str
    """`do`, `undo` or `note`."""
    attempt: int
    state: str
    """`done` or `failed`; of a note, what happened."""
    seconds: float
    at: float
    """When it ended, in seconds since 1970."""
    fence: int
    result: bytes | None
    """What the step returned, as it is stored: JSON. None if that was None."""
    error: str | None
    traceback: str | None


def record(found: Found) -> SagaRecord:
    return SagaRecord(
        found.name,
        found.key,
        SagaState(found.state),
        found.owner is not None,
        found.fence,
        found.crashes,
        found.started_at,
        found.changed_at,
        found.failed_step,
        found.error,
        found.input,
        found.traceparent,
    )


def step_of(line: Line) -> SagaStep:
    return SagaStep(
        line.step,
        line.phase,
        line.attempt,
        line.state,
        line.seconds,
        line.at,
        line.fence,
        line.result,
        line.error,
        line.traceback,
    )


@contextmanager
def inspected(url: str) -> Iterator[SagaEngine]:
    """The engine of a store that is there already, to be called from a thread.

    Raises EngineError if it is not there, Misuse for a memory.
    """
    address = Address(url)
    if address.path is None:
        raise Misuse(f"{url}: memory can only be seen by its own process", hint="give a file's URL")
    engine: SagaEngine = address.open("saga", create=False)
    try:
        yield engine
    finally:
        engine.close()
