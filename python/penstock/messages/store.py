"""What a message queue asks of an engine. Engines implement it; nothing here knows one.

A claim belongs to its owner, one incarnation of one consumer, until the owner's lease is over by
the store's clock; then any consumer of the queue takes it over. Every settlement names the fence
and the owner of its claim, and changes nothing if either is stale.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from penstock._durable.leases import Lease
from penstock._durable.writes import Write

R = TypeVar("R")


class New(NamedTuple):
    """A message to be enqueued."""

    id: str
    key: str | None
    delay: float
    dedupe: str | None
    headers: str | None
    payload: bytes


class Claimed(NamedTuple):
    """A message in flight."""

    seq: int
    id: str
    key: str | None
    attempt: int
    fence: int
    headers: str | None
    payload: bytes
    enqueued_at: float


class Action(enum.Enum):
    """What becomes of a message that was in flight."""

    ACKNOWLEDGE = "acknowledge"
    GIVE_BACK = "give back"
    """Ready at once, at its old place; the attempt is not counted."""
    POSTPONE = "postpone"
    BURY = "bury"

    __hash__ = object.__hash__


class Settlement(NamedTuple):
    """How the handling of a claim ended."""

    action: Action
    seq: int
    fence: int
    key: str | None
    delay: float = 0.0
    refund: bool = False
    """Of POSTPONE: whether the attempt is taken back."""
    reason: str = ""
    traceback: str = ""


class Exchange(NamedTuple):
    """What a consumer has done, and what it wants: one round trip for both."""

    owner: str
    lease: float
    settled: Sequence[Settlement]
    want: int
    holds: bool
    """Whether it believes to hold claims beside those it settles."""
    attempts: int
    """What was claimed so often by holders that died is buried."""


class Exchanged(NamedTuple):
    claimed: list[Claimed]
    stale: int
    """Settlements that came too late and changed nothing."""
    is_lost: bool
    """Whether the owner's claims were taken over."""
    wait: float | None
    """Seconds until something may be there to claim; None: not before somebody writes."""


class Dead(NamedTuple):
    seq: int
    id: str
    key: str | None
    attempt: int
    enqueued_at: float
    died_at: float
    reason: str
    traceback: str
    headers: str | None
    payload: bytes


class Counted(NamedTuple):
    ready: int
    delayed: int
    in_flight: int
    behind: int
    dead: int
    oldest: float | None


class Writer(Protocol):
    """The group commit of the store."""

    name: str

    async def run(self, write: Write[R], *, stands: bool = False) -> R: ...
    def call(self, write: Write[R]) -> R: ...
    def keep(self, lease: Lease) -> None: ...
    def forget(self, lease: Lease) -> None: ...
    def listen(self, topic: str, callback: Callable[[], object]) -> None: ...
    def unlisten(self, topic: str, callback: Callable[[], object]) -> None: ...


class MessageStore(Protocol):
    """The store of one queue. Its methods make writes; the writer carries them out."""

    writer: Writer

    @property
    def topic(self) -> str:
        """What listeners are told of: something may be there to claim."""

    def enqueue(self, messages: Sequence[New]) -> Write[list[str]]: ...
    def exchange(self, request: Exchange) -> Write[Exchanged]: ...
    def retire(self, owner: str, settled: Sequence[Settlement]) -> Write[int]: ...
    def renewal(self, lease: Lease) -> Write[bool]: ...
    def dead(self, after: int, limit: int) -> Write[list[Dead]]: ...
    def redrive(self, ids: Sequence[str]) -> Write[int]: ...
    def counts(self) -> Write[Counted]: ...
    def names(self) -> Write[list[str]]: ...
    def close(self) -> None: ...
