"""System calls of this process, counted from outside by strace: no queue's own word is taken."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benches.refusal import Refusal

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = -1


@cache
def can_be_counted() -> bool:
    """Whether this machine has strace and lets it trace."""
    command = ["strace", "-o", os.devnull, "true"]
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def counted(names: Sequence[str]) -> Iterator[list[int]]:
    """How many of the system calls named all threads made in here: the list's item, afterwards."""
    # Where a process may trace its children only, this one lets its child trace it.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_long(PR_SET_PTRACER_ANY), 0, 0, 0)
    found: list[int] = []
    with TemporaryDirectory() as folder:
        log = Path(folder) / "strace"
        arguments = ["-f", "-e", f"trace={','.join(names)}", "-o", str(log), "-p", str(os.getpid())]
        with subprocess.Popen(["strace", *arguments], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            first = tracer.stderr.readline()
            if "attached" not in first:
                raise Refusal(
                    f"strace cannot count this process's system calls: {first.strip()}",
                    hint="run as root, or without strace on PATH",
                )
            try:
                yield found
            finally:
                tracer.send_signal(signal.SIGINT)
                # Its end is the end of its log; what it says of threads must not fill the pipe.
                tracer.communicate()
        # A call that another thread interrupts in the log ends in a line with `resumed`.
        found.append(len(re.findall(rf"\b(?:{'|'.join(names)})\(", log.read_text())))
