"""The event-loop monitor."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread

from penstock._native import LoopWatch
from penstock.errors import Misuse

from .block import LoopBlock
from .hooks import asyncio_loop, hook_asyncio, hook_trio, task_name
from .sampling import Sampler
from .stack import frame_of, stack_of
from .statistics import LoopStatistics

__all__ = ("LoopMonitor",)

_log = logging.getLogger("penstock.loop")


class LoopMonitor:
    """Measures how long the event loop does not look for events, and tells what blocks it.

    Every turn of the loop counts into a histogram. A turn that takes `threshold` or longer is told
    once, with the stack of the loop's thread, while it still goes on. No heartbeat: an idle loop
    is never woken. On uvloop, which has no place to look from, a thread samples instead: it sees
    blocks from three quarters of the threshold on.

    Args:
        threshold: seconds of a turn that are too long.
        on_block: called with the `LoopBlock`, on the monitor's thread, so it must not touch the
            loop; by default a warning of the logger "penstock.loop". What it raises is logged.
        keep: so many of the last blocks are kept in `blocks`.

    `async with LoopMonitor():` on the loop to be watched, or `service.add(LoopMonitor())`. One per
    loop is enough, several do no harm. While native code holds the interpreter nobody can look:
    such a block is told when it lets go, without a stack if it is over by then. Leaving the block
    ends the thread. Cost: some 0.2 µs a turn; on uvloop 0.1 % of a processor.

    """

    name = "loop monitor"
    is_telemetry = True  # a Service ends it behind what it watches

    def __init__(
        self,
        threshold: float = 0.1,
        *,
        on_block: Callable[[LoopBlock], object] | None = None,
        keep: int = 64,
    ) -> None:
        if on_block is not None and not callable(on_block):
            raise Misuse(
                f"on_block={on_block!r} cannot be called", hint="give a function of one LoopBlock"
            )
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise Misuse(f"keep={keep!r} is not a positive whole number", hint="give 1 or more")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
            raise Misuse(f"threshold={threshold!r} is not a number of seconds", hint="give 0.1")
        self.threshold = float(threshold)
        self._watch = LoopWatch(self.threshold)
        self._on_block = on_block or _warn
        self._blocks: deque[LoopBlock] = deque(maxlen=keep)
        self._told: tuple[int, LoopBlock] | None = None
        """The turn that was told last, until it is over."""
        self._count = 0
        self._blocked_seconds = 0.0
        self._longest = 0.0
        self._kind = ""
        self._loop: Any = None
        self._loop_thread = 0
        self._unhook: Callable[[], None] | None = None
        self._sampler: Sampler | None = None
        self._is_sampled = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        state = self._kind or "not started"
        return f"<LoopMonitor {state}: {self._count} blocks of {self.threshold} s or more>"

    @property
    def blocks(self) -> list[LoopBlock]:
        """The last blocks, oldest first."""
        return list(self._blocks)

    def statistics(self) -> LoopStatistics:
        """Delays, utilisation and blocks so far. Any thread; some microseconds."""
        delay, busy, idle = self._watch.turns()
        is_seen = not self._is_sampled and busy + idle > 0
        return LoopStatistics(
            loop=self._kind,
            delay=delay,
            utilisation=busy / (busy + idle) if is_seen else None,
            blocks=self._count,
            blocked_seconds=self._blocked_seconds,
            longest=self._longest,
        )

    # -- lifetime ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._kind:
            raise Misuse("a LoopMonitor watches one loop, once", hint="make another monitor")
        self._loop = loop = asyncio_loop()
        self._loop_thread = threading.get_ident()
        attend = self._attend
        if loop is None:
            self._kind = "trio"
            self._unhook = hook_trio(self._watch)
        else:
            self._unhook = hook_asyncio(loop, self._watch)
            self._kind = "asyncio" if self._unhook is not None else "uvloop"
            if self._unhook is None:
                self._is_sampled = True
                self._sampler = Sampler(loop, self._watch, self.threshold, self._see, self._see_end)
                attend = self._sampler.run
        self._thread = threading.Thread(target=attend, name="penstock-loop-monitor", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unhook is not None:
            self._unhook()
            self._unhook = None
        self._watch.stop()
        if self._sampler is not None:
            self._sampler.stop()
        if self._thread is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._thread.join)
        self._loop = self._sampler = None

    # -- on the monitor's thread -------------------------------------------------------------

    def _attend(self) -> None:
        while (told := self._watch.next()) is not None:
            turn, seconds, is_over = told
            if is_over:
                self._see_end(turn, seconds)
            else:
                self._see(turn, seconds)

    def _see(self, turn: int, seconds: float) -> None:
        """A turn takes too long."""
        task = task_name(self._loop)
        frame = frame_of(self._loop_thread)
        stack = None if frame is None else stack_of(frame)
        del frame
        # Looked at last: what was seen belongs to this turn only if it is still the one.
        if not self._is_sampled and not self._watch.is_in(turn):
            return  # its end is told next
        block = LoopBlock(seconds, stack, task, is_over=False)
        self._told = (turn, block)
        self._tell(block)

    def _see_end(self, turn: int, seconds: float) -> None:
        """A turn that took too long has ended."""
        self._blocked_seconds += seconds
        self._longest = max(self._longest, seconds)
        if self._told is not None and self._told[0] == turn:
            block = self._told[1]
            self._told = None
            block.seconds, block.is_over = seconds, True
        else:
            self._tell(LoopBlock(seconds, None, None, is_over=True))

    def _tell(self, block: LoopBlock) -> None:
        self._count += 1
        self._blocks.append(block)
        try:
            self._on_block(block)
        except Exception:  # whatever the user's function does
            _log.exception("on_block of a LoopMonitor failed")


def _warn(block: LoopBlock) -> None:
    _log.warning("%s", block)
