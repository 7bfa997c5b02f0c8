"""`SagaStore.drain`: what runs ends here, what is started then is left for others."""

from __future__ import annotations

import anyio
import pytest

from penstock import Saga, SagaStore
from penstock.errors import Closed


async def test_it_waits_for_what_runs_and_stays_open(tmp_path):
    begun, release = anyio.Event(), anyio.Event()
    booking = Saga("book")

    @booking.step()
    async def step(context) -> None:
        begun.set()
        await release.wait()

    drained = []
    url = f"sqlite:///{tmp_path / 'trips.db'}"
    async with SagaStore.open(url, sagas=[booking]) as store:
        running = await store.start(booking, 1, key="running")
        await begun.wait()
        # A claim that is under way as it begins to drain may bring one more, which is run.
        while store._runner._asleep is None or store._runner._look:
            await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as group:

            async def drain() -> None:
                await store.drain()
                drained.append((await running.outcome()).state)

            group.start_soon(drain)
            while not store._is_draining:
                await anyio.lowlevel.checkpoint()
            late = await store.start(booking, 2, key="late")
            assert drained == []
            release.set()
        assert drained == ["completed"]
        await store.drain()
        assert (await store.counts())["book"] == {"completed": 1, "running": 1}
        with pytest.raises(Closed, match="goes on where another"):
            await late.outcome()
    async with SagaStore.open(url, sagas=[booking]) as store:
        assert (await store.run(booking, 2, key="late")).state == "completed"


async def test_a_cancelled_drain_ends_the_waiting_only(tmp_path):
    begun, release = anyio.Event(), anyio.Event()
    booking = Saga("book")

    @booking.step()
    async def step(context) -> None:
        begun.set()
        await release.wait()

    async with SagaStore.open(f"sqlite:///{tmp_path / 'trips.db'}", sagas=[booking]) as store:
        handle = await store.start(booking, 1)
        await begun.wait()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.drain()
        assert scope.cancelled_caught
        release.set()
        assert (await handle.outcome()).state == "completed"
