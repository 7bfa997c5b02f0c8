"""A taker is killed where it waits for an item: one script, over two queues, with two outcomes.

Whoever waits in `multiprocessing.Queue.get` holds the lock that all readers share, and takes it
along; whoever waits in `SharedQueue.get` holds nothing.
"""

from __future__ import annotations

import queue as standard
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from penstock import SharedQueue

from .conftest import Start, until

pytestmark = pytest.mark.usefixtures("clean")


class Ours:
    """What the script has to know of a SharedQueue."""

    def __init__(self, _context: Any) -> None:
        self.queue: SharedQueue[str] = SharedQueue()

    def waits(self, number: int, _taker: BaseProcess) -> bool:
        """Whether so many takers wait, of whom this is the last."""
        return self.queue.statistics().waiting_getters == number

    def is_stuck(self) -> bool:
        return False

    def close(self) -> None:
        self.queue.close()


class Standard:
    """And of a `multiprocessing.Queue`."""

    def __init__(self, context: Any) -> None:
        self.queue = context.Queue()

    def waits(self, number: int, taker: BaseProcess) -> bool:
        # The first one has the lock, and waits for the pipe; the others wait for the lock.
        return self.is_locked() and (number == 1 or "futex" in wait_channel(taker))

    def is_locked(self) -> bool:
        if self.queue._rlock.acquire(block=False):
            self.queue._rlock.release()
            return False
        return True

    def is_stuck(self) -> bool:
        """The item is there, and the lock is not: nobody is left who could release it."""
        return not self.queue.empty() and self.queue.qsize() == 1 and self.is_locked()

    def close(self) -> None:
        self.queue.cancel_join_thread()
        self.queue.close()


def wait_channel(process: BaseProcess) -> str:
    return Path(f"/proc/{process.pid}/wchan").read_text()


def take(queue: Any, line: Any) -> None:
    line.send(queue.get())


@contextmanager
def taker(start: Start, context: Any, queue: Any) -> Iterator[tuple[BaseProcess, Any]]:
    """A process that takes one item, and the line by which it says which."""
    line, theirs = context.Pipe(duplex=False)
    with closing(line), closing(theirs):
        yield start(take, queue, theirs), line


def outcome(kind: type[Ours | Standard], start: Start, context: Any) -> str:
    """What becomes of the item that is put after one of two waiting takers was killed."""
    with closing(kind(context)) as subject, taker(start, context, subject.queue) as (doomed, _):
        until(lambda: subject.waits(1, doomed))
        with taker(start, context, subject.queue) as (other, line):
            until(lambda: subject.waits(2, other))
            doomed.kill()
            doomed.join()
            subject.queue.put("the next item")
            until(lambda: line.poll() or subject.is_stuck())
            if line.poll():
                assert line.recv() == "the next item"
                return "taken"
            with pytest.raises(standard.Empty):
                subject.queue.get(timeout=0.1)
            assert other.is_alive()
            return "stuck" if subject.is_stuck() and not line.poll() else "unknown"


@pytest.mark.parametrize(("kind", "expected"), [(Ours, "taken"), (Standard, "stuck")])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_taker_is_killed_where_it_waits(
    request: pytest.FixtureRequest, method: str, kind: type[Ours | Standard], expected: str
):
    start: Start = request.getfixturevalue(method)
    assert outcome(kind, start, get_context(method)) == expected
