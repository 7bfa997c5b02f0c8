"""Which event is next: one lane for each key, and in a lane one event after the other.

A lane whose head has failed keeps the head alone. What lies behind it stays in the store, and is
read again once the head is done: so a key that is blocked takes one place, however much comes
behind it, and the others go on. Nothing here waits or knows a clock.
"""

from __future__ import annotations

from collections import deque

from .store import Found, Refill, Stored

_REFILL = 32  # events of one key at a time


class Lane:
    """The events of one key that are in memory; the head is under way, or to be."""

    __slots__ = ("attempts", "events", "is_failing", "is_spilled", "key")

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.events: deque[Stored] = deque()
        self.attempts = 0
        """Of the head, that have failed."""
        self.is_failing = False
        self.is_spilled = False
        """Events of this key that have been read are in the store alone, behind those here."""

    @property
    def head(self) -> Stored:
        return self.events[0]


class Lanes:
    """All lanes of one relay."""

    def __init__(self) -> None:
        self.cursor = 0
        """Everything up to it was read once."""
        self.held = 0
        self.held_bytes = 0
        self.blocked = 0
        """Lanes whose head has failed."""
        self._by_key: dict[str, Lane] = {}
        self._empty: dict[str, int] = {}
        """Spilled lanes without an event, and the last one they had."""

    def read(self, event: Stored) -> Lane | None:
        """The next event of the outbox; its lane, if it can begin with it."""
        self.cursor = event.seq
        if event.key is None:
            return self._append(Lane(None), event)
        lane = self._by_key.get(event.key)
        if lane is None:
            lane = self._by_key[event.key] = Lane(event.key)
        if lane.is_failing or lane.is_spilled:
            lane.is_spilled = True
            return None
        return self._append(lane, event)

    def _append(self, lane: Lane, event: Stored) -> Lane | None:
        lane.events.append(event)
        self.held += 1
        self.held_bytes += len(event.payload)
        return lane if len(lane.events) == 1 else None

    def done(self, lane: Lane) -> bool:
        """The head is published, or given up; whether the next one is here."""
        last = self._drop(lane)
        lane.attempts = 0
        self.blocked -= lane.is_failing
        lane.is_failing = False
        if lane.events:
            return True
        if lane.key is not None:
            if lane.is_spilled:
                self._empty[lane.key] = last.seq
            else:
                del self._by_key[lane.key]
        return False

    def failed(self, lane: Lane) -> None:
        """The head has to be tried again later."""
        self.blocked += not lane.is_failing
        lane.is_failing = True
        while len(lane.events) > 1:
            self._drop(lane, last=True)
            lane.is_spilled = True

    def _drop(self, lane: Lane, *, last: bool = False) -> Stored:
        event = lane.events.pop() if last else lane.events.popleft()
        self.held -= 1
        self.held_bytes -= len(event.payload)
        return event

    def refills(self, room: int) -> list[Refill]:
        """What to ask for, so that empty lanes can go on; with `room` for so many events."""
        lanes = list(self._empty.items())[: max(1, room)]
        limit = max(1, min(_REFILL, room // max(1, len(lanes))))
        return [Refill(key, last, limit) for key, last in lanes]

    def refilled(self, refill: Refill, found: Found) -> Lane | None:
        """What the store had up to the cursor; the lane, if it can begin with it.

        To be called before `read` is for what came in the same answer.
        """
        lane = self._by_key[refill.key]
        del self._empty[refill.key]
        lane.is_spilled = found.is_cut
        for event in found.events:
            self._append(lane, event)
        if lane.events:
            return lane
        del self._by_key[refill.key]
        return None
