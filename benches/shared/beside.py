"""The other process of a row: started once for each contender, told of each lap through a pipe.

It is spawned, as its parent holds the threads of other contenders by then. Starting it and opening
its end of the queue is never timed; the word to begin is, some 50 µs of a fifth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

SPAWN = get_context("spawn")
PATIENCE = 10.0  # seconds until a process that does not end is killed

Role = Callable[..., AbstractContextManager[Callable[[int], Any]]]
"""Opened in the other process; its lap does n operations. Both must be found by import."""


class Other:
    """The parent's hold on it."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def begin(self, n: int) -> None:
        """Let it do a lap of n operations from now on."""
        self._line.send(n)

    def end(self) -> Any:
        """Wait until its lap is done; what it brought back. EOFError if the process ended."""
        return self._line.recv()


@contextmanager
def beside(role: Role, *arguments: Any) -> Iterator[Other]:
    """A process that has opened the role and waits for laps."""
    line, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(theirs, role, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        line.recv()
        yield Other(line)
        line.send(None)
        process.join(PATIENCE)
    finally:
        process.kill()
        process.join()
        line.close()


def _serve(line: Connection, role: Role, arguments: tuple[Any, ...]) -> None:
    with role(*arguments) as lap:
        line.send("open")
        while (n := line.recv()) is not None:
            line.send(lap(n))
