"""What a run counts: plain integers written by the run's own tasks, readable from any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ("RunStatistics", "StageStatistics", "Totals")

Waiting = Literal["upstream", "downstream"] | None


class Tally:
    """One stage's live counters."""

    __slots__ = ("dropped", "items_in", "items_out")

    def __init__(self) -> None:
        self.items_in = 0
        self.items_out = 0
        self.dropped = 0


class Occupation:
    """What the task that runs one or more stages is doing; those stages share it."""

    __slots__ = ("waiting",)

    def __init__(self, waiting: Waiting = None) -> None:
        self.waiting: Waiting = waiting


@dataclass(frozen=True, slots=True)
class StageStatistics:
    """One stage, at one moment.

    `dropped` counts what `on_error` let go, not what a filter rejects (that is the difference
    between `items_in` and `items_out`). `waiting` names the side this stage's task waits for:
    `"upstream"` has nothing for it, `"downstream"` does not take what it has. `buffered` counts
    the items the stage holds between its tasks.
    """

    name: str
    items_in: int
    items_out: int
    dropped: int
    waiting: Waiting
    buffered: int


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """A run, at one moment: source first, then stage by stage.

    `bytes_read` of `bytes_total` is how far a file has been read, for a bar and its remaining
    time: bytes of content for a plain file and a zip member, stored bytes for gzip, whose
    content's size is not known before its end. Both are 0 for a source that is not a file.
    """

    stages: tuple[StageStatistics, ...]
    read: int
    dropped: int
    bytes_read: int
    bytes_total: int
    seconds: float

    def stage(self, name: str) -> StageStatistics:
        """Return the first stage of this name, as `stages` shows it, or raise `KeyError`."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a whole run came to.

    `read` items left the source (lines, where the source is a file that is read by lines),
    `written` reached the sink, `dropped` were let go by an `on_error`; a filter's rejections
    and a batch's gathering make up the rest. `seconds` is wall time.
    """

    read: int
    written: int
    dropped: int
    seconds: float
    stages: tuple[StageStatistics, ...]
