"""Sagas of some steps, many at once, on SQLite with an fsync for every commit."""

from __future__ import annotations

from functools import partial

from benches.case import Case, Contender, Target, percentile, rate
from benches.durability import JOURNAL_FULL, WAL_FULL
from benches.saga.contenders import bare_group_commit, dbos, penstock_store
from benches.saga.journal import Shape
from benches.units import Unit

STEPS = Unit("steps/s", more_is_better=True)


def case(name: str, shape: Shape, targets: list[Target]) -> Case:
    return Case(
        room="saga",
        name=name,
        question=(
            f"How many steps a second are acknowledged, each after its own commit with an fsync, "
            f"in sagas of {shape.steps} steps, {shape.at_once} at once on SQLite? p50 and p99 are "
            f"the time from a step's beginning to the next one's: where writers take turns "
            f"unfairly, the two lie far apart."
        ),
        contenders=[
            Contender(
                "penstock.SagaStore",
                f"{WAL_FULL}; {shape.at_once} tasks `run` sagas of {shape.steps} steps on asyncio, "
                f"spans and all",
                partial(penstock_store, shape),
                "penstock",
            ),
            Contender(
                "bare group commit",
                f"{WAL_FULL}; a queue, a thread and a connection: the least that does the same "
                f"durable work, {shape.steps + 1} commits for each saga, in {shape.at_once} tasks "
                f"on asyncio. It resumes, retries and compensates nothing",
                partial(bare_group_commit, shape),
            ),
            Contender(
                "DBOS",
                f"{JOURNAL_FULL}, as its SQLite store comes; a workflow of {shape.steps} steps, "
                f"called in {shape.at_once} threads (its async form is not faster), "
                f"`sys_db_pool_size=1`, with which it is fastest",
                partial(dbos, shape, JOURNAL_FULL),
                "dbos",
            ),
            Contender(
                "DBOS, file in WAL mode",
                f"{WAL_FULL}: the file was set to WAL before DBOS opened it, which its documents "
                f"do not mention; else as the line above",
                partial(dbos, shape, WAL_FULL),
                "dbos",
            ),
        ],
        is_right=shape.is_right,
        figures=[rate(STEPS), percentile(50), percentile(99)],
        targets=targets,
        least=shape.steps * shape.at_once,
    )


CASES = (
    case("3-steps", Shape(steps=3, at_once=32), [Target(30, "DBOS")]),
    case("10-steps", Shape(steps=10, at_once=50), [Target(5_000), Target(15, "DBOS")]),
)
