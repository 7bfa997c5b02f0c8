"""SIGTERM at any moment: the run ends as it does by Ctrl-C, and takes everything along.

Python's own answer to SIGTERM is to be gone at once, which would leave temporary files and a
check that is under way. While sagas run the service drains instead; see `rebooking.operation`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ("Stop", "sigterm_as_interrupt")


class Stop:
    """Who has stopped the run, if somebody has."""

    def __init__(self) -> None:
        self._is_terminated = False

    @property
    def reason(self) -> str:
        """For the line that tells of it."""
        return "stopped by SIGTERM" if self._is_terminated else "interrupted"

    @property
    def code(self) -> int:
        """The exit code, as shells have it."""
        return 128 + (signal.SIGTERM if self._is_terminated else signal.SIGINT)

    def take(self, _number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM: do what Ctrl-C would do at this moment."""
        self._is_terminated = True
        answer = signal.getsignal(signal.SIGINT)
        # An event loop that runs has an answer of its own. Without a terminal Ctrl-C may be
        # ignored, as behind `&` in a script; SIGTERM is not.
        (answer if callable(answer) else signal.default_int_handler)(signal.SIGINT, frame)


@contextmanager
def sigterm_as_interrupt() -> Iterator[Stop]:
    """Within the block SIGTERM raises KeyboardInterrupt. The main thread only."""
    stop = Stop()
    before = signal.signal(signal.SIGTERM, stop.take)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
