"""Plain functions that hear of an event, in the thread that emits it."""

from __future__ import annotations

from benches.case import Case, Target, cost
from benches.events import ways
from benches.events.proofs import blocking

__all__ = ("CASES",)


def case(count: int, absolute: float) -> Case:
    return Case(
        room="events",
        name=f"sync_{count}",
        question=f"What does an event cost that {count} plain "
        f"function{'s hear' if count > 1 else ' hears'}?",
        contenders=[
            blocking(
                "penstock", "`bus.sync.emit`, with an outcome each", ways.penstock_sync, count
            ),
            blocking("pyee", "`EventEmitter.emit`", ways.pyee_sync, count),
            blocking("blinker", "`Signal.send`", ways.blinker_sync, count),
            blocking("pymitter", "`EventEmitter.emit`", ways.pymitter_sync, count),
            blocking("bare calls", "floor: a list of the results", ways.calls, count, None),
        ],
        is_right=lambda n, heard: bool(heard == n),
        figures=[cost()],
        targets=[Target(absolute, "pyee")],
    )


CASES = (
    case(1, 5),
    case(10, 3),
    Case(
        room="events",
        name="wildcard",
        question="What does an event cost that one plain function hears by a pattern?",
        contenders=[
            blocking("penstock", '`on("user.*")`', ways.penstock_wildcard, 1),
            blocking("pymitter", '`on("user.*")`, wildcard=True', ways.pymitter_wildcard, 1),
        ],
        is_right=lambda n, heard: bool(heard == n),
        figures=[cost()],
        targets=[Target(1, "pymitter")],
    ),
)
