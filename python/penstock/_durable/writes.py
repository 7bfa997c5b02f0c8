"""What is to be written, as values: a `Kind` says how, a `Write` what, and who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Kind(Generic[A, R]):
    """One kind of operation; all of one kind that meet in a flush run in one call.

    `run(session, now, arguments)` gives one result for each argument, in order. It is pure SQL:
    it may be run again after its transaction was undone. `now` is the store's clock, in seconds
    since 1970. In a flush, kinds of a lower `rank` run first. A kind that only `reads` needs no
    room on the disk.
    """

    __slots__ = ("name", "rank", "reads", "run")

    def __init__(
        self,
        name: str,
        run: Callable[[Any, float, Sequence[A]], Sequence[R]],
        *,
        rank: int = 0,
        reads: bool = False,
    ) -> None:
        self.name = name
        self.reads = reads
        self.rank = rank
        self.run = run

    def __repr__(self) -> str:
        return f"<Kind {self.name}>"


class Sleeper(Protocol):
    """Whoever waits for a commit: a task's place, a thread, a callback."""

    def wake(self) -> object: ...


class Write(Generic[R]):
    """One operation on its way through the writer. Used once.

    Written by its caller until it is handed over; `taken` and `withdrawn` under the writer's lock;
    `result` and `error` by the writer's thread, before it says `is_done` and wakes the sleeper.
    """

    __slots__ = (
        "argument",
        "error",
        "is_done",
        "kind",
        "result",
        "size",
        "sleeper",
        "submitted",
        "taken",
        "topic",
        "withdrawn",
    )

    def __init__(
        self, kind: Kind[A, R], argument: A, *, size: int = 0, topic: str | None = None
    ) -> None:
        self.kind: Kind[Any, R] = kind
        self.argument: Any = argument
        self.size = size
        self.topic = topic
        """Whoever listens to it is told once this is committed."""
        self.sleeper: Sleeper | None = None
        self.submitted = 0.0
        self.taken = False
        self.withdrawn = False
        self.is_done = False
        self.result: R | None = None
        self.error: BaseException | None = None

    @property
    def committed(self) -> R | None:
        """The result, if it is committed: also for a caller who was cancelled."""
        return self.result if self.is_done and self.error is None else None

    def outcome(self) -> R:
        """The result, or the error raised."""
        if self.error is not None:
            # Each caller raises an object of its own: several may share a cause.
            raise self.error
        return self.result  # type: ignore[return-value]
