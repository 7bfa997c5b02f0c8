"""A lease: the right to what was claimed, while its holder can prove that it makes progress.

The store keeps, for each incarnation of a holder, until when its claims are its own, by the
store's clock. Here is the holder's side: it counts from *before* a claim or renewal was sent, by
the monotonic clock, so it finds itself fenced no later than others may take over.

Renewal happens on the writer's thread, and only while the holder's event loop has moved its
progress stamp lately: a process whose loop is stuck, or whose interpreter lock is held by C code,
stops renewing and is taken over. Nothing has to run for a lease to be lost: `is_lost` compares two
numbers, so no thread can be too busy to notice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from .writes import Write


def incarnation() -> str:
    """A name that no other holder has had or will have, whatever its pid or host is called."""
    return secrets.token_hex(12)


class Lease:
    """What one incarnation holds.

    `renewal` makes the write that moves the store's deadline; its result says whether the store
    still knew the holder. Fields are written by the loop's thread, except where it says otherwise.
    """

    def __init__(
        self,
        seconds: float,
        renewal: Callable[[Lease], Write[bool]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.owner = incarnation()
        self.held = 0
        """How much is claimed now; nothing is renewed for a holder of nothing."""
        self._renewal = renewal
        self._clock = clock
        self._progress = clock()
        self._deadline = self._progress + seconds
        self._lost = False  # set by either thread, never taken back
        self._next = self._progress + seconds / 3  # the writer's thread
        self._under_way = False  # the writer's thread

    def beat(self) -> None:
        """The loop runs: called by a task of it, at least each sixth of the lease."""
        self._progress = self._clock()

    @property
    def beat_every(self) -> float:
        return self.seconds / 6

    def claiming(self, sent: float, most: int) -> None:
        """A claim of at most so many is sent at `sent`; until it is answered they count as held."""
        if not self.held:
            # Nothing could be lost so far, and what comes will be held from `sent` on at least.
            self._deadline = sent + self.seconds
            self._next = sent + self.seconds / 3
        self.held += most

    def extended(self, sent: float) -> None:
        """The store has confirmed a claim or renewal that was sent at `sent`."""
        self._deadline = max(self._deadline, sent + self.seconds)
        self._next = max(self._next, sent + self.seconds / 3)

    def lose(self) -> None:
        """Somebody else has taken over, or nobody may rely on it any more."""
        self._lost = True

    @property
    def is_lost(self) -> bool:
        """Whether others may have taken over: what is written from now on changes nothing."""
        if not self._lost and self.held and self._clock() >= self._deadline:
            self._lost = True
        return self._lost

    # On the writer's thread

    def due(self) -> float | None:
        """The moment of the next look at this lease, monotonic; None while nothing is held."""
        if self._lost or not self.held or self._under_way:
            return None
        return self._next

    def renewal(self) -> Write[bool] | None:
        """The write that renews, if the loop has shown progress lately."""
        now = self._clock()
        if self.is_lost:
            return None
        if now - self._progress > self.seconds / 3:
            self._next = now + self.seconds / 12
            return None
        write = self._renewal(self)
        write.sleeper = _Renewed(self, write, now)
        self._under_way = True
        return write

    def renewed(self, write: Write[bool], sent: float) -> None:
        self._under_way = False
        self._next = sent + self.seconds / 3
        if write.error is not None:
            self._next = sent + self.seconds / 12
        elif write.result:
            self.extended(sent)
        else:
            self.lose()


class _Renewed:
    """Wakes nobody: notes how a renewal ended."""

    __slots__ = ("_lease", "_sent", "_write")

    def __init__(self, lease: Lease, write: Write[bool], sent: float) -> None:
        self._lease, self._write, self._sent = lease, write, sent

    def wake(self) -> None:
        self._lease.renewed(self._write, self._sent)
