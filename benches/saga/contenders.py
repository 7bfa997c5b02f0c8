"""The ways to run sagas whose every step is committed before the next one begins."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from benches.case import Lap, Work
from benches.durability import WAL_FULL, counted, folder, level, require_level, writers_level
from benches.loops import kept
from benches.saga.bare import BareGroupCommit
from benches.saga.journal import Journal, Shape

_WARM_UP = 32  # sagas: DBOS starts anew for each lap, and its engine compiles each statement once


@contextmanager
def penstock_store(shape: Shape) -> Iterator[Work]:
    """`SagaStore.run` in as many tasks as shall be under way."""
    from penstock import Saga, SagaStore

    journals = [Journal(0)]  # a cell for that of the lap
    saga = Saga("bench", context=int)
    for place in range(shape.steps):
        saga.add_step(f"step-{place}", partial(_act, journals, place))

    async def lap(n: int, path: Path) -> Lap:
        store = SagaStore.open(f"sqlite:///{path}", sagas=[saga], concurrency=shape.at_once)
        async with store:
            require_level(WAL_FULL, await writers_level(store.engine.writer))
            sagas = shape.sagas(n)
            journal = journals[0] = Journal(sagas)

            async def work(first: int) -> None:
                for number in range(first, sagas, shape.at_once):
                    outcome = await store.run(saga, number, key=f"saga-{number}")
                    journal.end(number, list(outcome.results.values()))

            await _together(work, shape.at_once)
            return journal.lap(
                lambda: counted(
                    path,
                    "SELECT count(*) FROM penstock_saga_entry e JOIN penstock_saga s"
                    " ON s.seq = e.saga WHERE s.state = 'completed' AND e.state = 'done'",
                )
            )

    with kept("asyncio") as run:

        def in_a_new_file(n: int) -> Lap:
            with folder() as place:
                return run(partial(lap, n, place / "penstock.db"))

        yield in_a_new_file


async def _act(journals: list[Journal], place: int, number: int) -> int:
    journals[0].begin(number)
    return number + place


async def _together(work: Callable[[int], Coroutine[Any, Any, None]], count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for first in range(count):
            group.create_task(work(first))


@contextmanager
def bare_group_commit(shape: Shape) -> Iterator[Work]:
    """A row for the start of each saga and one for each step's end, no more."""

    async def lap(n: int, path: Path) -> Lap:
        writer = BareGroupCommit(path, asyncio.get_running_loop())
        try:
            require_level(WAL_FULL, level(writer.connection.execute))
            sagas = shape.sagas(n)
            journal = Journal(sagas)

            async def work(first: int) -> None:
                for number in range(first, sagas, shape.at_once):
                    key = f"saga-{number}"
                    await writer.insert((key, 0, json.dumps(number)))
                    results = []
                    for place in range(shape.steps):
                        journal.begin(number)
                        results.append(number + place)
                        await writer.insert((key, place + 1, json.dumps(number + place)))
                    journal.end(number, results)

            await _together(work, shape.at_once)
            return journal.lap(lambda: counted(path, "SELECT count(*) FROM step WHERE seq > 0"))
        finally:
            writer.close()

    with kept("asyncio") as run:

        def in_a_new_file(n: int) -> Lap:
            with folder() as place:
                return run(partial(lap, n, place / "bare.db"))

        yield in_a_new_file


@contextmanager
def dbos(shape: Shape, durability: str) -> Iterator[Work]:
    """A workflow called in as many threads as shall be under way; DBOS lives for one lap."""
    with ThreadPoolExecutor(shape.at_once) as pool:

        def lap(n: int, path: Path) -> Lap:
            workflow, journals = _workflow(shape.steps)

            def one(number: int) -> None:
                journals[0].end(number, workflow(number))

            def all_of(sagas: int) -> Journal:
                journal = journals[0] = Journal(sagas)
                for _ in pool.map(one, range(sagas)):  # raises what a thread raised
                    pass
                return journal

            with _launched(path, durability):
                all_of(_WARM_UP)
                before = counted(path, _DBOS_STEPS)
                return all_of(shape.sagas(n)).lap(lambda: counted(path, _DBOS_STEPS) - before)

        def in_a_new_file(n: int) -> Lap:
            with folder() as place:
                path = place / "dbos.db"
                if durability == WAL_FULL:
                    # A property of the file: whoever opens it later works with it.
                    connection = sqlite3.connect(path)
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.close()
                return lap(n, path)

        yield in_a_new_file


_DBOS_STEPS = (
    "SELECT count(*) FROM operation_outputs o JOIN workflow_status w USING (workflow_uuid)"
    " WHERE w.status = 'SUCCESS'"
)


@cache
def _workflow(steps: int) -> tuple[Callable[[int], list[int]], list[Journal]]:
    """The workflow, registered once for the process, and a cell for the journal of the lap."""
    from dbos import DBOS

    journals = [Journal(0)]

    def step(place: int) -> Callable[[int], int]:
        @DBOS.step(name=f"step-{place}")
        def act(number: int) -> int:
            journals[0].begin(number)
            return number + place

        return act

    acts = [step(place) for place in range(steps)]

    @DBOS.workflow(name="bench")
    def workflow(number: int) -> list[int]:
        return [act(number) for act in acts]

    return workflow, journals


@contextmanager
def _launched(path: Path, durability: str) -> Iterator[None]:
    from dbos import DBOS
    from dbos._dbos import _get_dbos_instance  # the only way to its connections

    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{path}",
            "sys_db_pool_size": 1,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    try:
        engine: Any = _get_dbos_instance()._sys_db.engine
        with engine.connect() as connection:
            require_level(durability, level(connection.exec_driver_sql))
        yield
    finally:
        DBOS.destroy()
