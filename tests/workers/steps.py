"""Waiting for what a test has set going: never by time, always with an end."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from penstock import WorkerPool

PATIENCE = 30.0
"""Seconds after which a test gives up on what must come; when all is well nothing takes so long."""


class Step:
    """A task that waits: says when it has begun, ends when it is told to.

    `pool.submit(tasks.hold, *step.pipes)`; the pipes are opened for both directions here, so
    nobody waits for an opposite end, whatever has died.
    """

    def __init__(self, folder: Path) -> None:
        paths = folder / "started", folder / "release"
        for path in paths:
            os.mkfifo(path)
        self.pipes = tuple(map(str, paths))
        self._started, self._release = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in paths)

    def begun(self) -> int:
        """Wait for the next report; the pid in it."""
        readable, _, _ = select.select([self._started], [], [], PATIENCE)
        assert readable, "the task has not begun"
        return int(os.read(self._started, 10))

    def has_begun(self) -> bool:
        return bool(select.select([self._started], [], [], 0)[0])

    def release(self, times: int = 1) -> None:
        os.write(self._release, b"." * times)

    def close(self) -> None:
        os.close(self._started)
        os.close(self._release)


def gone(pid: int, within: float = PATIENCE) -> bool:
    """Wait until a process has ended; False if it does not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], within)[0])
    finally:
        os.close(pidfd)


def let_time_pass(pool: WorkerPool) -> None:
    """Have the deadline of every task be now.

    A timeout that is short enough to wait for may be over before a busy machine has let the task
    begin, and then it is only taken back.
    """
    engine = pool._engine
    with engine.lock:
        for _, task in list(engine.deadlines._tasks.values()):
            engine.deadlines.add(task, 0.0)
        engine._ring()


def stop(pid: int) -> None:
    """Stop a process, and return when it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)


def wait_until_stopped(pid: int) -> None:
    # Nothing tells a process about the state of one that is not its child.
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        os.sched_yield()
