"""A worker as its pool sees it."""

from __future__ import annotations

import os

from penstock._native import Arena, Port

from ._launcher import Launcher
from ._task import Task


class Worker:
    """One process with its port, and the tasks that lie with it."""

    def __init__(self, launcher: Launcher, arena: Arena, participant: int, max_bytes: int) -> None:
        self.participant = participant
        self.port, fds = Port.create(arena, max_bytes)
        try:
            self.pid = launcher.spawn(participant, fds)
        finally:
            for fd in fds:
                os.close(fd)
        self.pidfd = os.pidfd_open(self.pid)
        self.tasks: dict[int, Task] = {}
        """By slot."""
        self.vacant = list(range(Port.SLOTS))
        self.sent = 0
        self.completed = 0
        self.retiring = False
        """It gets nothing more, and stops when it is done."""
        self.dismissed = False
        """It has been told to stop."""
        self.doomed = False
        """Killed, or found broken: it gets nothing more, and its death is under way."""
        self.busy = 0
        """Nanoseconds spent in tasks."""
        self.typical = 0.0
        """Smoothed nanoseconds a task takes here."""
        self.ahead = 2
        """How many tasks may lie here."""

    @property
    def room(self) -> int:
        """How many more tasks to lay with it now."""
        return 0 if self.retiring or self.doomed else self.ahead - len(self.tasks)

    def lay(self, task: Task) -> bool:
        """Send it a task that has been placed. False: its lane is full."""
        slot = self.vacant.pop()
        self.port.offer(slot, task.number)
        if not self.port.send(Port.TASK, slot, task.number, task.parcel):
            self.vacant.append(slot)
            return False
        self.tasks[slot] = task
        task.worker, task.slot = self, slot
        self.sent += 1
        return True

    def take_back(self, task: Task) -> None:
        """The task no longer lies here."""
        del self.tasks[task.slot]
        self.vacant.append(task.slot)
        task.worker = None

    def note(self, elapsed: int) -> None:
        """A task has run for so many nanoseconds."""
        self.completed += 1
        self.busy += elapsed
        self.typical = elapsed if self.completed == 1 else self.typical * 0.8 + elapsed * 0.2
        # Enough to be busy for half a millisecond, handling (5 µs a task) included: that hides a
        # wake (4 to 40 µs) and most of the pool's turns. Two of longer tasks, so that the next
        # one is there when one ends.
        self.ahead = max(2, min(Port.SLOTS, int(500_000 / (self.typical + 5_000))))

    def close(self) -> None:
        os.close(self.pidfd)
