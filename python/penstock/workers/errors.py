"""What goes wrong with a task because of where it runs."""

from __future__ import annotations

import signal
from concurrent.futures.process import BrokenProcessPool

from penstock.errors import Lost, PenstockError

__all__ = ("RemoteError", "WorkerLost")


class WorkerLost(Lost, BrokenProcessPool):
    """The worker process died while it ran the task; also a `BrokenProcessPool`.

    Only the task that was running is lost: those behind it go to other workers, and the pool
    goes on with a new one.
    """

    code = "worker-lost"

    pid: int | None
    exit_code: int | None
    """What it ended with by itself; `None` if a signal ended it or nobody could tell."""
    signal: signal.Signals | int | None
    """What ended it; a bare number for one without a name."""
    task: str

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        pid: int | None = None,
        status: int | None = None,
        task: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.pid = pid
        self.exit_code = status if status is not None and status >= 0 else None
        self.signal = _signal(-status) if status is not None and status < 0 else None
        self.task = task


def _signal(number: int) -> signal.Signals | int:
    try:
        return signal.Signals(number)
    except ValueError:  # between SIGRTMIN and SIGRTMAX
        return number


def _name(number: int) -> str:
    known = _signal(number)
    return known.name if isinstance(known, signal.Signals) else f"signal {number}"


class RemoteError(PenstockError):
    """A task raised an exception that could not be carried over.

    The message has its type and text; the worker's traceback is the cause.
    """

    code = "remote"


class RemoteTraceback(Exception):
    """The cause of an exception that a task raised: the traceback in the worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text}"


def lost(pid: int | None, status: int | None, task: str, pool: str) -> WorkerLost:
    """The error for a task whose worker died with that status (negative: a signal)."""
    if status is None:
        how, hint = "ended", None
    elif status < 0:
        name = _name(-status)
        how = f"was ended by {name}"
        hint = (
            "SIGKILL often means that memory ran out: see the kernel's log, use fewer workers, "
            "or send less at a time"
            if name == "SIGKILL"
            else "look for native code in the task: python -X faulthandler shows where"
        )
    else:
        how = f"exited with status {status}"
        hint = "a task must return or raise; it must not end the process"
    message = f"worker {pid} of pool {pool!r} {how} while it ran {task}"
    return WorkerLost(message, hint=hint, pid=pid, status=status, task=task)
