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
# The notice of a case follows its end within some milliseconds, on a busy machine within seconds;
# a further attempt follows a failed one.
_NOTICE_WITHIN, _AGAIN_WITHIN = 10.0, 0.5


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
        """Look at the traces of slow cases until nothing is added to them any more."""
        slow, now = self._cases.slow, time.perf_counter()
        left = []
        for case in slow:
            ended, _, trace_id = case
            trace = tracer.get_trace(trace_id)
            if _rank(trace) > _rank(self.slowest):
                self.slowest = trace
            is_whole, _ = _rank(trace)
            # The last one stays: it is the measure for those to come.
            if case is slow[-1] or now - ended < (_AGAIN_WITHIN if is_whole else _NOTICE_WITHIN):
                left.append(case)
        slow[:] = left
