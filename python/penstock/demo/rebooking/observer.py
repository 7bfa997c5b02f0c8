"""Looks at the second half every 100 ms, and keeps the slowest trace before it is overwritten."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from penstock.demo.memory import proportional_set_size
from penstock.messages import MessageQueue
from penstock.outbox import Relay
from penstock.tracing import Trace

from .cases import Cases
from .outcome import Moment
from .plan import tracer

__all__ = ("Observer",)

_PERIOD = 0.1
# The notice of a case follows its end within some milliseconds; a failed attempt takes longer.
_NOTICE_AFTER = 0.5


def _rank(trace: Trace | None) -> tuple[bool, float]:
    """Whole ones first: of a case that was taken over, the first part is in another trace."""
    if trace is None:
        return False, 0.0
    is_whole = any(span.tracer == "penstock.messages" for span in trace)
    return is_whole, trace.duration


class Observer:
    """Runs in a task of its own, beside the work."""

    def __init__(
        self,
        total: int,
        settled: tuple[int, int],
        cases: Cases,
        relay: Relay[Any],
        queue: MessageQueue[Any],
        show: Callable[[Moment], None],
        root: int | None,
    ) -> None:
        self._total = total
        self._settled = settled
        self._cases = cases
        self._relay = relay
        self._queue = queue
        self._show = show
        self._root = root
        self._began = time.perf_counter()
        self.moments: list[Moment] = []
        self.slowest: Trace | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await anyio.sleep(_PERIOD)

    async def look(self) -> None:
        """Take one more moment, now."""
        memory = await anyio.to_thread.run_sync(proportional_set_size, self._root)
        waiting = await self._relay.statistics()
        messages = await self._queue.statistics()
        confirmed, refused = self._settled
        moment = Moment(
            seconds=self.seconds,
            total=self._total,
            confirmed=confirmed + self._cases.confirmed,
            refused=refused + self._cases.refused,
            parked=self._cases.parked,
            outbox=waiting.backlog,
            ready=messages.ready + messages.delayed + messages.behind,
            in_flight=messages.in_flight,
            dead=messages.dead,
            memory=memory,
        )
        self.moments.append(moment)
        self._show(moment)
        self._keep_the_slowest()

    async def until_delivered(self) -> None:
        """Wait until every committed event has been handled or given up."""
        while True:
            waiting = await self._relay.statistics()
            messages = await self._queue.statistics()
            left = messages.ready + messages.delayed + messages.behind + messages.in_flight
            if not waiting.backlog and not left:
                return
            await anyio.sleep(0.02)

    def _keep_the_slowest(self) -> None:
        now = time.perf_counter()
        slow = self._cases.slow
        while slow and now - slow[0][0] > _NOTICE_AFTER:
            _, _, trace_id = slow[0]
            trace = tracer.get_trace(trace_id)
            if trace is not None and _rank(trace) > _rank(self.slowest):
                self.slowest = trace
            if len(slow) == 1:
                return  # The measure for those to come.
            slow.pop(0)
