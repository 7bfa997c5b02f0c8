"""From the schedule to sagas: the cancelled flights of each route, one after the other.

Seats are taken in the order in which flights were cancelled, so within a route a case begins when
the one before it has ended; that makes the outcomes the same in every run. Routes have no flights
in common and go side by side, through a stream.
"""

from __future__ import annotations

import time
from collections import Counter

from penstock.demo.lost_workers import run_again
from penstock.saga import Saga, SagaState, SagaStore
from penstock.streams import Stream
from penstock.workers import WorkerPool

from .plan import Plan, plan_case, tracer
from .schedule import Route, Schedule

__all__ = ("Cases",)

_SIDE_BY_SIDE = 48


class Cases:
    """Works through a schedule; `settled` are the cases that an earlier process has ended."""

    def __init__(
        self,
        schedule: Schedule,
        saga: Saga[Plan],
        store: SagaStore,
        pool: WorkerPool,
        seed: int,
        settled: frozenset[str],
        begun: dict[str, float],
    ) -> None:
        self._schedule = schedule
        self._saga = saga
        self._store = store
        self._pool = pool
        self._seed = seed
        self._settled = settled
        self._begun = begun
        self.counts: Counter[str] = Counter()
        """Cases that ended in this process, by state."""
        self.slow: list[tuple[float, float, str]] = []
        """When it ended, how long it took, trace id: cases slower than all before them."""

    async def work(self) -> None:
        """Return when every cancelled flight is confirmed, refused or parked."""
        routes = [
            (len(cancelled), route)
            for route in self._schedule.routes
            if (cancelled := self._schedule.cancelled(route))
        ]
        # The longest first: what is left at the end is short.
        routes.sort(key=lambda each: (-each[0], each[1].name))
        stream = Stream.from_iterable([route for _, route in routes]).map(
            self._route, concurrency=_SIDE_BY_SIDE, ordered=False
        )
        async with stream as ended:
            async for _ in ended:
                pass

    async def _route(self, route: Route) -> int:
        cancelled = self._schedule.cancelled(route)
        for place in cancelled:
            key = self._schedule.key(place)
            if key not in self._settled:
                await self._case(route, place, key)
        return len(cancelled)

    async def _case(self, route: Route, place: int, key: str) -> None:
        began = self._begun[key] = time.perf_counter()
        with tracer.span("rebook", {"flight": key, "route": route.name}) as span:
            packed = self._schedule.packed(route, place)
            plan = await run_again(self._pool, plan_case, self._seed, packed)
            handle = await self._store.start(self._saga, plan, key=key)
            outcome = await handle.outcome()
            span.set_attribute("outcome", outcome.state.value)
        now = time.perf_counter()
        self.counts[outcome.state.value] += 1
        if not self.slow or now - began > self.slow[-1][1]:
            self.slow.append((now, now - began, span.trace_id))

    @property
    def confirmed(self) -> int:
        return self.counts[SagaState.COMPLETED.value]

    @property
    def refused(self) -> int:
        return self.counts[SagaState.COMPENSATED.value]

    @property
    def parked(self) -> int:
        return self.counts[SagaState.PARKED.value]
