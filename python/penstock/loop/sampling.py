"""Watching a loop that lets nobody in: uvloop.

A thread looks at the loop's thread four times per threshold. If the innermost Python frame is the
one that runs the loop, the loop is idle or in its own native code, and is left alone: no idle loop
is ever woken. If it is another one the loop is busy, so a probe is sent through
`call_soon_threadsafe`; how long it waits is the loop's delay, and one that waits too long means
that the loop is blocked.

Native code that holds the interpreter keeps this thread from looking, too: then it comes late, and
finds that the loop's thread has worked meanwhile. (Python code would have let it in every 5 ms.)

What cannot be seen so: a native function that was made a callback directly, without a Python frame.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from penstock._native import LoopWatch

from .stack import frame_of

__all__ = ("Sampler", "runner_frame")

LOOKS = 4
"""Per threshold, so a block is seen before it is a quarter over."""


def runner_frame() -> FrameType | None:
    """The frame that runs the caller's loop: the one below its task's outermost one."""
    task = sys.modules["asyncio"].current_task()
    frame: FrameType | None = getattr(task.get_coro(), "cr_frame", None) if task else None
    return None if frame is None else frame.f_back


class Sampler:
    """See the module's head. `run` is for a thread of its own."""

    def __init__(
        self,
        loop: Any,
        watch: LoopWatch,
        threshold: float,
        on_block: Callable[[int, float], None],
        on_end: Callable[[int, float], None],
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._threshold = threshold
        self._on_block = on_block
        self._on_end = on_end
        self._thread = threading.get_ident()
        # The loop's thread itself asks for its clock: of one that has ended nobody may ask.
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._runner = runner_frame()
        self._ending = threading.Event()
        self._answered = threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        period = self._threshold / LOOKS
        while True:
            looked, worked = time.monotonic(), self._work()
            if self._ending.wait(period):
                return
            late = time.monotonic() - looked - period
            if min(late, self._work() - worked) >= self._threshold - period:
                self._watch.record(late)
                self._on_end(time.monotonic_ns(), late)
                continue
            frame = frame_of(self._thread)
            if frame is None or frame is self._runner:
                continue
            del frame
            if not self._probe(period):
                return

    def _work(self) -> float:
        """Seconds of processor time that the loop's thread has had."""
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has ended
            return 0.0

    def stop(self) -> None:
        self._ending.set()
        self._answered.set()

    def _probe(self, period: float) -> bool:
        """Send a probe and wait for it. False: the loop is gone, or the sampler is to end."""
        begun = time.monotonic_ns()
        self._answered.clear()
        if self._ending.is_set():
            return False
        try:
            self._loop.call_soon_threadsafe(self._answer, begun)
        except RuntimeError:  # closed
            return False
        if self._answered.wait(self._threshold - period):
            return not self._ending.is_set()
        self._on_block(begun, (time.monotonic_ns() - begun) * 1e-9)
        self._answered.wait()
        self._on_end(begun, (time.monotonic_ns() - begun) * 1e-9)
        return not self._ending.is_set()

    def _answer(self, begun: int) -> None:
        self._watch.record((time.monotonic_ns() - begun) * 1e-9)
        self._answered.set()
