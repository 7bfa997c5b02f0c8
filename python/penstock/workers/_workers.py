"""A worker as its pool sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from penstock._native import Arena, Port
from penstock.errors import Lost

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
        self.failed = False
        """It was found broken, or gone, before the pool decided its end."""
        self.heard = 0
        """When it last sent a result, or else was given its first task; monotonic ns."""
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

    @property
    def is_done(self) -> bool:
        """Whether its end is what was wanted."""
        return self.retiring and not self.tasks

    def has_begun(self, task: Task) -> bool:
        """Whether the first of the tasks that lie here has been begun, as far as can be told.

        A state that makes no sense was written over by a task, and that must have been this one:
        it must not be run a second time.
        """
        return self.port.state(task.slot, task.number) != "queued"

    def has_ended(self, task: Task) -> bool:
        return self.port.state(task.slot, task.number) == "done"

    def lay(self, task: Task) -> bool:
        """Send it a task that has been placed. False: its lane is full, it rings for more."""
        assert task.parcel is not None
        slot = self.vacant.pop()
        self.port.offer(slot, task.number)
        try:
            while not self.port.send(Port.TASK, slot, task.number, task.parcel):
                if self.port.want_room():
                    self.vacant.append(slot)
                    return False
        except Lost:
            # It may have gone out, and then it may have been begun.
            if not self.port.recall(slot, task.number):
                self._note(task, slot)
            raise
        self._note(task, slot)
        return True

    def _note(self, task: Task, slot: int) -> None:
        if not self.tasks:
            self.heard = time.monotonic_ns()
        self.tasks[slot] = task
        task.worker, task.slot = self, slot
        self.sent += 1

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

    def dismiss(self) -> None:
        """Tell it to stop. If its lane is full, it rings when it has read on; call again then."""
        while not self.dismissed:
            self.dismissed = self.port.send(Port.STOP, 0, 0, None)
            if not self.dismissed and self.port.want_room():
                return

    def kill(self) -> None:
        """End it and the processes it has started."""
        # By the pidfd: should its zygote be dead, init has reaped it, and its pid may be anybody's.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        os.close(self.pidfd)
