"""The zygote: a process of one thread that forks workers.

A pool never forks itself: its process has threads, and a fork of a process with threads copies
locks that nobody will release. The zygote is started by exec, imports what the workers will
need once, and forks them from there, in a few milliseconds and with the imports' memory shared.

It answers one request at a time and keeps no other state than which children it has not reaped.
A dead child stays a zombie until the pool says so; until then its pid and its process group name
nothing else, so the pool can signal them safely. When the pool's process ends, or closes its end
of the socket, the zygote ends every child with its group and itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

MESSAGE = 1 << 20
FDS = 5


def main(fd: int, pool_pidfd: int) -> None:
    """Serve requests from the socket `fd` until its other end closes or the pool's process ends."""
    # Ctrl-C is for the pool's process; it decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = socket.socket(fileno=fd)
    children: set[int] = set()
    # The socket alone would not do: a child that the pool's process forks holds its end open.
    events = select.poll()
    events.register(link, select.POLLIN)
    events.register(pool_pidfd, select.POLLIN)
    try:
        while all(fd == link.fileno() for fd, _ in events.poll()):
            data, fds, _, _ = socket.recv_fds(link, MESSAGE, FDS)
            if not data:
                break
            request, *arguments = pickle.loads(data)  # noqa: S301 (from the pool that made us)
            answer = _REQUESTS[request](link, children, fds, *arguments)
            link.send(pickle.dumps(answer))
    except (BrokenPipeError, ConnectionResetError):
        pass  # the pool's process has ended
    finally:
        link.close()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _prepare(
    _link: socket.socket, _children: set[int], _fds: list[int], preload: list[str]
) -> tuple[str, Any]:
    """Import modules by name; answers how many threads there are now."""
    for name in preload:
        try:
            importlib.import_module(name)
        except BaseException:
            return "failed", (name, traceback.format_exc())
    from . import _worker  # noqa: F401 (shared by all workers)

    gc.collect()
    gc.freeze()  # what is here now is not moved about by the workers' collectors
    return "ready", len(list(Path("/proc/self/task").iterdir()))


def _spawn(
    link: socket.socket,
    children: set[int],
    fds: list[int],
    participant: int,
    main_module: dict[str, str],
) -> tuple[str, Any]:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        # Too many processes, or no memory: the workers there are can go on.
        for fd in fds:
            os.close(fd)
        return "failed", str(error)
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            link.close()
            from . import _worker

            _worker.main(fds, participant, main_module)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # Without what the zygote registered to run at its own end.
            os._exit(code)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)  # whoever of the two comes first
    for fd in fds:
        os.close(fd)
    children.add(pid)
    return "spawned", pid


def _reap(_link: socket.socket, children: set[int], _fds: list[int], pid: int) -> tuple[str, Any]:
    """Wait for a child that is dead or about to be; answers its status (negative: a signal)."""
    children.discard(pid)
    try:
        return "reaped", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return "reaped", None


_REQUESTS: dict[str, Callable[..., tuple[str, Any]]] = {
    "prepare": _prepare,
    "spawn": _spawn,
    "reap": _reap,
}
