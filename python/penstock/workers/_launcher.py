"""The pool's handle on its zygote."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from penstock.errors import EngineError, Misuse

from . import _main_module
from ._zygote import MESSAGE

# -c, and not -m: what is importable is set before the first import.
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from penstock.workers._zygote import main as _main; _main({fd}, {pidfd})"
)

# The processors are shared out among workers; a numerical library that starts a thread for each
# of them in each worker only makes them wait for each other. What the user has set wins.
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)


class Launcher:
    """Starts workers and learns how they ended; one request at a time, by one thread."""

    def __init__(self, name: str, preload: Sequence[str]) -> None:
        self._name = name
        self._preload = list(preload)
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._main_module = _main_module.describe()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the zygote; raises `Misuse` if a module cannot be preloaded."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pidfd = os.pidfd_open(os.getpid())
        try:
            program = _PROGRAM.format(path=sys.path, fd=theirs.fileno(), pidfd=pidfd)
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *flags, "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), pidfd],
                env=_ONE_THREAD | os.environ,
                start_new_session=True,  # a Ctrl-C at the terminal is the pool's affair
            )
        finally:
            theirs.close()
            os.close(pidfd)
        self._link = ours
        try:
            self._prepare()
        except BaseException:
            self.stop()
            raise

    def _prepare(self) -> None:
        kind, answer = self._ask([], "prepare", self._preload)
        if kind == "failed":
            module, trace = answer
            raise Misuse(
                f"pool {self._name!r} cannot preload {module!r}: {trace.strip().splitlines()[-1]}",
                hint=f"see that `import {module}` works, or leave it out of preload=",
            )
        if answer > 1:
            warnings.warn(
                f"preload-started-threads: {', '.join(self._preload)} left {answer - 1} threads "
                f"in the process that forks the workers of pool {self._name!r}; a fork may copy "
                "a lock that nobody releases. Leave the module that starts them out of preload=.",
                RuntimeWarning,
                stacklevel=6,
            )

    def spawn(self, participant: int, fds: Sequence[int]) -> int:
        """Fork a worker with those descriptors (which stay open here); answers its pid."""
        pidfd = os.pidfd_open(os.getpid())
        try:
            kind, answer = self._ask([*fds, pidfd], "spawn", participant, self._main_module)
        finally:
            os.close(pidfd)
        if kind == "failed":
            raise EngineError(
                f"pool {self._name!r} cannot start a worker: {answer}",
                hint="see the limits on processes and memory (ulimit -u, pids.max)",
            )
        return int(answer)

    def reap(self, pid: int) -> int | None:
        """Forget a dead worker and what is left of its process group; answers its status.

        Negative for a signal, `None` if the zygote itself is gone.
        """
        # Until it is reaped, the pid names this worker and its group, and nothing else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if self._link is None:
            return None
        try:
            return self._ask([], "reap", pid)[1]  # type: ignore[no-any-return]
        except EngineError:
            return None

    @property
    def is_alive(self) -> bool:
        return self._link is not None

    def stop(self) -> None:
        """Close the link: the zygote ends, and with it every worker that is left."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _ask(self, fds: Sequence[int], *request: object) -> tuple[str, Any]:
        if self._link is None:
            raise EngineError(f"the zygote of pool {self._name!r} is not running")
        try:
            socket.send_fds(self._link, [pickle.dumps(request)], list(fds))
            answer = self._link.recv(MESSAGE)
        except OSError:
            answer = b""
        if not answer:
            self.stop()
            raise EngineError(
                f"the zygote of pool {self._name!r} has ended",
                hint="it is started again with the next worker",
            )
        return pickle.loads(answer)  # type: ignore[no-any-return] # noqa: S301 (our own child)
