"""Programs that tests of queues run in a process of their own, which is gone when the test is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager


def backend(name: str) -> str:
    """A line of a program: the arguments of `anyio.run` for this loop."""
    if name == "uvloop":
        options = "dict(loop_factory=__import__('uvloop').new_event_loop)"
        return f"backend = dict(backend='asyncio', backend_options={options})"
    return f"backend = dict(backend={name!r})"


@contextmanager
def started(program: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Killed if it has not ended by itself, waited for, its pipes closed: however one leaves."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(program: str, **variables: str) -> str:
    """What it prints; for as long as a test as a whole may take."""
    with started(program, **variables) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert not err
    return out
