"""What sagas ask of an engine, as values and one protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from penstock._durable.leases import Lease
from penstock._durable.writes import Write

R = TypeVar("R")


class NewSaga(NamedTuple):
    """A saga to be started."""

    name: str
    key: str
    version: str
    input: bytes
    traceparent: str | None


class Owner(NamedTuple):
    """Who is to hold what a write starts or claims."""

    name: str
    lease: float
    holds: bool
    """Whether it believes to hold something already: then it must still be known as a holder."""


class Started(NamedTuple):
    """What became of a start."""

    seq: int
    fence: int
    is_new: bool
    is_owned: bool
    """Whether the asking owner is to run it."""
    is_lost: bool
    """Whether what the owner held was taken over."""
    state: str
    input: bytes


class Entry(NamedTuple):
    """A line of a saga's history: an attempt that ended, or a word about the saga as a whole."""

    number: int
    """From 0, along the history of the saga."""
    step: str
    phase: str
    """`do`, `undo`, or `note`."""
    attempt: int
    state: str
    """`done` or `failed`; of a note, what happened."""
    seconds: float
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None


class Position(NamedTuple):
    """Where a saga stands: what is to be run next, or that it has ended."""

    state: str
    phase: str
    step: int
    attempt: int
    is_unsure: bool
    """Whether an earlier attempt of this step may have had its effect without our knowing."""
    pause: float = 0.0
    """Seconds before the attempt may begin."""


class Failure(NamedTuple):
    """Why a saga does not complete."""

    step: str | None
    error: str


class Change(NamedTuple):
    """One move of a saga, written under its fence."""

    seq: int
    owner: str
    fence: int
    entries: Sequence[Entry]
    total: int
    """Entries of the history, these included."""
    position: Position
    failure: Failure | None = None
    version: str | None = None
    """Set when it goes on under another definition."""


class Claimed(NamedTuple):
    """A saga that is to be gone on with, and all that is known of it."""

    seq: int
    name: str
    key: str
    version: str | None
    """None: resumed by hand, under whatever definition fits."""
    fence: int
    state: str
    phase: str
    step: int
    attempt: int
    is_unsure: bool
    crashes: int
    pause: float
    input: bytes
    traceparent: str | None
    failed_step: str | None
    error: str | None
    entries: int
    done: Sequence[tuple[str, str, bytes | None]]
    """(phase, step, result) of the attempts that were done, in order."""


class Claim(NamedTuple):
    """What an owner asks for."""

    owner: Owner
    names: Sequence[str]
    want: int


class Answer(NamedTuple):
    claimed: Sequence[Claimed]
    is_lost: bool
    wait: float | None
    """Seconds until something may be there to claim; None: not before somebody writes."""


class Found(NamedTuple):
    """A saga as it is listed."""

    seq: int
    name: str
    key: str
    state: str
    phase: str
    step: int
    attempt: int
    owner: str | None
    fence: int
    crashes: int
    started_at: float
    changed_at: float
    failed_step: str | None
    error: str | None
    input: bytes
    traceparent: str | None


class Line(NamedTuple):
    """An entry as it is read back; `at` is when it ended, in seconds since 1970."""

    number: int
    step: str
    phase: str
    attempt: int
    state: str
    seconds: float
    at: float
    fence: int
    result: bytes | None
    error: str | None
    traceback: str | None


class Raised(NamedTuple):
    """What a function of the user raised inside a transaction; nothing of it was kept."""

    error: BaseException


class Stale(NamedTuple):
    """The fence has moved on: nothing was written."""


Transacted = bytes | Raised | Stale
Encode = Callable[[Any], bytes]


class Writer(Protocol):
    """The group commit of the store."""

    name: str

    async def run(self, write: Write[R], *, stands: bool = False) -> R: ...
    async def run_to_end(self, write: Write[R]) -> R: ...
    def call(self, write: Write[R]) -> R: ...
    def keep(self, lease: Lease) -> None: ...
    def forget(self, lease: Lease) -> None: ...
    def listen(self, topic: str, callback: Callable[[], object]) -> None: ...
    def unlisten(self, topic: str, callback: Callable[[], object]) -> None: ...


class SagaEngine(Protocol):
    """The sagas of one store. Its methods make writes; the writer carries them out."""

    writer: Writer
    topic: str
    """What listeners are told of when something may be there to claim."""
    topic_of_ends: str
    """The same when one has ended: apart, since every end would have its own process claim."""

    def start(self, new: NewSaga, owner: Owner | None) -> Write[Started]: ...
    def change(self, change: Change) -> Write[bool]: ...
    def transact_step(
        self,
        change: Change,
        fn: Callable[..., Any],
        args: Sequence[Any],
        encode: Encode,
        began: float,
    ) -> Write[Transacted]:
        """`change` has one entry; its time counts from `began`, by perf_counter."""

    def transact(self, fn: Callable[..., Any], args: Sequence[Any]) -> Write[Any]: ...
    def claim(self, claim: Claim) -> Write[Answer]: ...
    def wait(self, owner: str, names: Sequence[str]) -> Write[float | None]:
        """Seconds until there may be something to claim, as in `Answer`; needs no write lock."""
        ...

    def retire(self, owner: str) -> Write[int]: ...
    def renewal(self, lease: Lease) -> Write[bool]: ...
    def ended(self, seqs: Sequence[int]) -> Write[Sequence[Claimed]]: ...
    def find(self, name: str, key: str) -> Write[Found | None]: ...
    def page(
        self, name: str | None, state: str | None, after: int, limit: int
    ) -> Write[Sequence[Found]]: ...
    def history(self, seq: int) -> Write[Sequence[Line]]: ...
    def resume(self, seq: int, by: str) -> Write[bool]: ...
    def counts(self) -> Write[Sequence[tuple[str, str, int]]]: ...
    def close(self) -> None: ...
