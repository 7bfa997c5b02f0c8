"""What a relay asks of an engine. Engines implement it; nothing here knows one.

An outbox belongs to one relay at a time, by its owner's lease and a fence that rises with every
take-over. What is settled under a stale fence changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from penstock._durable.leases import Lease
from penstock._durable.writes import Write

R = TypeVar("R")


class Stored(NamedTuple):
    """An event as it lies in the outbox."""

    seq: int
    """Rises in the order in which the transactions were committed."""
    id: str
    topic: str
    key: str | None
    headers: str | None
    payload: bytes
    created_at: float


class Burial(NamedTuple):
    """An event that is given up."""

    seq: int
    attempts: int
    reason: str


class Refill(NamedTuple):
    """Asks for further events of one key, behind `after` and not beyond the cursor."""

    key: str
    after: int
    limit: int


class Request(NamedTuple):
    """What a relay has done, and what it wants: one round trip for both."""

    owner: str
    fence: int
    """0: it has none yet."""
    lease: float
    published: Sequence[int]
    buried: Sequence[Burial]
    after: int
    """The cursor: everything up to it has been read."""
    want: int
    max_bytes: int
    """Of payloads; one event is given, whatever its size."""
    refills: Sequence[Refill]


class Found(NamedTuple):
    events: list[Stored]
    is_cut: bool
    """Whether the limits may have left something out."""


NOTHING = Found([], is_cut=False)


class Answer(NamedTuple):
    fence: int
    """The relay's own; 0: another one has the outbox."""
    wait: float
    """Seconds until the other one's lease is over; 0: nobody has it, or this one."""
    found: Found
    """Events behind the cursor."""
    refilled: list[Found]
    """For each refill, in order."""


class Dead(NamedTuple):
    seq: int
    id: str
    topic: str
    key: str | None
    attempts: int
    created_at: float
    died_at: float
    reason: str
    headers: str | None
    payload: bytes


class Counted(NamedTuple):
    backlog: int
    oldest: float | None
    dead: int


class Writer(Protocol):
    """The group commit of the store."""

    name: str

    async def run(self, write: Write[R], *, stands: bool = False) -> R: ...
    def keep(self, lease: Lease) -> None: ...
    def forget(self, lease: Lease) -> None: ...
    def listen(self, topic: str, callback: Callable[[], object]) -> None: ...
    def unlisten(self, topic: str, callback: Callable[[], object]) -> None: ...


class OutboxStore(Protocol):
    """The store of one outbox. Its methods make writes; the writer carries them out."""

    writer: Writer

    def look(self, request: Request) -> Write[Answer]:
        """Only reads: takes nothing, renews nothing, and must settle nothing."""

    def exchange(self, request: Request) -> Write[Answer]:
        """Settles, takes the outbox if it is free, and reads on."""

    def retire(self, request: Request) -> Write[bool]:
        """Settles, and gives the outbox up; whether it still had it."""

    def renewal(self, lease: Lease) -> Write[bool]: ...
    def dead(self, after: int, limit: int) -> Write[list[Dead]]: ...
    def redrive(self, ids: Sequence[str]) -> Write[int]: ...
    def counts(self) -> Write[Counted]: ...
    def close(self) -> None: ...
