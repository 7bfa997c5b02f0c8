"""Async functions that hear of an event, all outcomes awaited."""

from __future__ import annotations

from benches.case import Case, Contender, Target, cost
from benches.events import ways
from benches.events.proofs import awaited

__all__ = ("CASES",)


def contenders(count: int, *, suspends: bool) -> list[Contender]:
    options = {"suspends": suspends}
    found = [
        awaited("penstock", "`await bus.emit`", ways.penstock, count, **options),
        awaited("blinker", "`send_async`: one after the other", ways.blinker, count, **options),
        awaited("asyncio.gather", "`return_exceptions=True`", ways.gather, count, None, **options),
        awaited("asyncio.TaskGroup", "a task each", ways.task_group, count, None, **options),
        awaited("pymitter", "`emit_async`", ways.pymitter, count, **options),
        awaited(
            "pyee", "`emit`, then `wait_for_complete`: no outcomes", ways.pyee, count, **options
        ),
        awaited(
            "bubus",
            "`parallel_handlers`, a history of 10 events, logging off",
            ways.bubus,
            count,
            **options,
        ),
    ]
    if not suspends:
        found.append(
            awaited(
                "bare awaits", "floor: one after the other", ways.awaits, count, None, **options
            )
        )
    return found


CASES = (
    Case(
        room="events",
        name="async_1",
        question="What does an event cost that one async function hears, its outcome awaited?",
        contenders=contenders(1, suspends=False),
        is_right=lambda n, heard: bool(heard == n),
        figures=[cost()],
        targets=[Target(0.4e-6)],
        least=100,
    ),
    Case(
        room="events",
        name="async_10",
        question="What does an event cost that 10 async functions hear, all outcomes awaited?",
        contenders=contenders(10, suspends=False),
        is_right=lambda n, heard: bool(heard == n),
        figures=[cost()],
        targets=[Target(2.5e-6)],
        least=100,
    ),
    Case(
        room="events",
        name="suspended_10",
        question="What does an event cost that 10 async functions hear which suspend once?",
        contenders=contenders(10, suspends=True),
        is_right=lambda n, heard: bool(heard == n),
        figures=[cost()],
        targets=[Target(1, "asyncio.gather")],
        least=100,
    ),
)
