"""Kills the demo's working process on purpose, and has another one take over.

For `--kill-after`: a light process that starts the refund desk and the working process, reads
from the database how many cases have ended, and sends SIGKILL once the share is reached. It holds
no state that a run depends on: it may be killed itself, and nobody is left behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from .failures import DemoError
from .memory import descendants

__all__ = ("Plan", "Progress", "die_with_supervisor", "read_progress", "supervise")

# How often the database is read, in seconds.
_INTERVAL = 0.05

# How long what a killed process has started may take to notice and to end.
_PATIENCE = 15.0

_MOST_RESTARTS = 3

# Names the descriptor that a child watches its supervisor by.
_LIFELINE = "PENSTOCK_DEMO_LIFELINE"

# What runs is counted and taken off: there is a small index for that, and none for what has ended.
_PROGRESS = """
SELECT
    (SELECT count(*) FROM penstock_saga WHERE name = 'rebook'),
    (SELECT count(*) FILTER (WHERE state <> 'parked') FROM penstock_saga
    WHERE state IN ('running', 'compensating', 'parked')),
    cancelled
FROM demo_run
"""


class Progress(NamedTuple):
    """How many of the run's cases have ended, well or not."""

    ended: int
    total: int

    def __str__(self) -> str:
        return f"{self.ended:,} of {self.total:,} cases"

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 as long as nothing is known."""
        return self.ended / self.total if self.total else 0.0


_NOTHING_YET = Progress(0, 0)


def _no_desk() -> AbstractContextManager[Sequence[str]]:
    return nullcontext(())


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and when to kill it.

    `command` and `environment` are the working process's, each time anew. `kill_after` are shares
    of the cases, ascending, one for each process that is killed. `start_desk()` gives a context
    manager that is entered before the first working process starts and left after the last has
    ended; the arguments that it gives, where the desk listens say, are added to each command.
    `quiet` leaves out the lines that tell of what was meant to happen.

    Raises `DemoError` for shares that are not ascending or not between 0 and 1.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    database: Path
    kill_after: tuple[float, ...]
    start_desk: Callable[[], AbstractContextManager[Sequence[str]]] = _no_desk
    quiet: bool = False

    def __post_init__(self) -> None:
        for share in self.kill_after:
            if not 0 < share < 1:
                raise DemoError(
                    f"--kill-after {share:g}",
                    "is not a share of the cases",
                    "give a number between 0 and 1",
                )
        for earlier, later in zip(self.kill_after, self.kill_after[1:], strict=False):
            if later <= earlier:
                raise DemoError(
                    f"--kill-after {later:g}",
                    f"comes after {earlier:g}, and cases do not become fewer",
                    "give the shares in ascending order",
                )


def supervise(plan: Plan) -> int:
    """Run the working process to its end through all kills; returns its last exit code.

    A process that ends before its share is reached is not replaced: one line on stderr says that
    the kill never came. One that dies by a signal of somebody else is started again, three times
    at most, then it is 1. SIGINT and SIGTERM go on to the working process, whose end is waited
    for; a death by them is 128 + number, as shells have it. What a working process says on stdout
    and stderr goes where the caller's does.

    Blocks; for the main thread only, whose handlers of both signals are put back at the end.
    Raises what `start_desk` raises, and OSError when the command cannot be run.
    """
    supervisor = _Supervisor(plan)
    with supervisor.forwarded_signals(), plan.start_desk() as desk:
        return supervisor.run([*plan.command, *desk])


def die_with_supervisor() -> None:
    """End this process and its group by SIGKILL as soon as the supervisor that started it ends.

    For the working process, before it does anything else; a thread without Python watches, so it
    works whatever the process is busy with. Does nothing in a process that no supervisor started.
    """
    lifeline = os.environ.pop(_LIFELINE, None)
    if lifeline is None:
        return
    from penstock._native import die_with

    os.set_inheritable(int(lifeline), False)
    die_with(int(lifeline))


def read_progress(database: Path) -> Progress:
    """How far the run in `database` has come; 0 of 0 as long as there is nothing to be read.

    A look from outside: read-only, about a millisecond, and no connection is kept, since whoever
    closes the database last folds its log into it.
    """
    # A reader would make the log that is missing, and leave it there.
    if not Path(f"{database}-wal").exists():
        return _NOTHING_YET
    try:
        with closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)
        ) as connection:
            row = connection.execute(_PROGRESS).fetchone()
    except sqlite3.Error:
        return _NOTHING_YET  # its tables are being made, or its log is being gone through
    return _NOTHING_YET if row is None else Progress(row[0] - row[1], row[2])


class _Supervisor:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped_by = 0
        self._pending = 0  # a signal that there was nobody yet to pass on to
        self._progress = _NOTHING_YET

    @contextlib.contextmanager
    def forwarded_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._take_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stopped_by = self._pending = number
        self._pass_on()

    def _pass_on(self) -> None:
        if self._child is not None and self._pending:
            # No handler can come in between: each would pass the same one on.
            number, self._pending = self._pending, 0
            self._child.send_signal(number)

    def run(self, command: Sequence[str]) -> int:
        shares, restarts = list(self._plan.kill_after), 0
        while not self._stopped_by:
            child = self._start(command)
            if self._lives_until(child, shares[0] if shares else None):
                shares.pop(0)
                if left := _kill(child):
                    return _failed(
                        f"process {left}: was started by the killed process {child.pid} and has "
                        f"not ended within {_PATIENCE:g} s of it",
                        "report this",
                    )
                self._say(f"killed process {child.pid} at {self._progress}, another takes over")
                continue
            code = child.returncode
            if self._stopped_by or code >= 0:
                if shares and not self._stopped_by:
                    _failed(
                        f"--kill-after {shares[0]:g}: the kill never came, process {child.pid} "
                        f"ended by itself with {code} after {self._progress}",
                        "give a smaller share, or more flights",
                    )
                return code if code >= 0 else 128 - code
            name = signal.Signals(-code).name
            if restarts == _MOST_RESTARTS:
                return _failed(
                    f"the working process: died {restarts + 1} times, the last time by {name} "
                    f"after {self._progress}",
                    "run it without --kill-after and look at what it says",
                )
            restarts += 1
            self._say(f"process {child.pid} died by {name}, another takes over")
        return 128 + self._stopped_by

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self._child = None
        lifeline = os.pidfd_open(os.getpid())
        try:
            child = subprocess.Popen(  # noqa: S603 (the caller's own command)
                command,
                env={**self._plan.environment, _LIFELINE: str(lifeline)},
                pass_fds=[lifeline],
                # A group of its own to die with, and a Ctrl-C at the terminal comes once, from us.
                start_new_session=True,
            )
        finally:
            os.close(lifeline)
        self._child = child
        self._pass_on()
        return child

    def _lives_until(self, child: subprocess.Popen[bytes], share: float | None) -> bool:
        """Whether the share is reached while the process is there; waits for one or the other."""
        with _pidfd(child.pid) as ended:
            while not ended(None if share is None else _INTERVAL):
                if share is None or self._stopped_by:
                    continue  # a process that was asked to end is left to do so
                self._progress = max(self._progress, read_progress(self._plan.database))
                if self._progress.share >= share:
                    return True
        child.wait()
        return False

    def _say(self, text: str) -> None:
        if not self._plan.quiet:
            _print(text)


def _failed(what: str, hint: str) -> int:
    _print(f"{what} hint: {hint}")
    return 1


def _print(text: str) -> None:
    if sys.stderr.isatty():
        # Whoever was killed while it drew bars has left the cursor hidden, and behind them.
        sys.stderr.write("\x1b[?25h\r\n")
    print(f"penstock demo: {text}", file=sys.stderr, flush=True)


def _kill(child: subprocess.Popen[bytes]) -> int:
    """Kill the process, and it alone; returns 0, or what it started and is still there then.

    All of that is to notice by itself. What has not is killed, so that the run leaves nothing.
    """
    end = time.monotonic() + _PATIENCE
    with contextlib.ExitStack() as stack:
        family: dict[int, Callable[[float | None], bool]] = {}

        def meet(pids: Iterator[int]) -> None:
            for pid in pids:
                if pid not in family:
                    with contextlib.suppress(ProcessLookupError):
                        family[pid] = stack.enter_context(_pidfd(pid))

        meet(descendants(child.pid))
        child.kill()
        child.wait()
        for pid in list(family):
            meet(descendants(pid))  # what came between the two
        left = [pid for pid, ended in family.items() if not ended(end - time.monotonic())]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left[0] if left else 0


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[Callable[[float | None], bool]]:
    """Gives a function that waits so many seconds for the process to end, and says if it has."""
    fd = os.pidfd_open(pid)
    try:
        events = select.poll()
        events.register(fd, select.POLLIN)
        yield lambda seconds: bool(
            events.poll(None if seconds is None else max(0.0, seconds) * 1000)
        )
    finally:
        os.close(fd)
