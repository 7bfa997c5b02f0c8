"""`LifoQueue` and `PriorityQueue` beside their namesakes: filled and emptied; between threads."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any, Literal

from benches.case import Case, Contender, Figure, Lap, Target, Work, cost, rate
from benches.queues.peers import BOUND
from benches.queues.threads import Ends, complete, handed
from benches.units import ITEMS

Kind = Literal["LifoQueue", "PriorityQueue"]
KINDS: tuple[Kind, ...] = ("LifoQueue", "PriorityQueue")

FILL = 500  # items inside before the first is taken
STRIDE = 211  # no factor of FILL: the items of a filling come in no order


def filling(n: int) -> list[int]:
    """What is put: n integers, in pieces of FILL that are shuffled the same way each."""
    return [start + place * STRIDE % FILL for start in range(0, n, FILL) for place in range(FILL)]


@contextmanager
def filled(ends: Callable[[], Ends]) -> Iterator[Work]:
    put, get = ends()

    def work(n: int) -> Lap:
        items = filling(n)
        answer: list[int] = []
        started = perf_counter_ns()
        for start in range(0, n, FILL):
            for item in items[start : start + FILL]:
                put(item)
            answer += [get() for _ in range(FILL)]
        return Lap.since(started, answer)

    yield work


def expected(kind: Kind, n: int, answer: list[int]) -> bool:
    if kind == "PriorityQueue":
        return answer == list(range(n))
    items = filling(n)
    return answer == [
        item for start in range(0, n, FILL) for item in reversed(items[start : start + FILL])
    ]


def penstock_ends(kind: Kind) -> Ends:
    import penstock

    shared: Any = getattr(penstock, kind)(maxsize=BOUND)
    return shared.put, shared.get


def queue_ends(kind: Kind) -> Ends:
    shared: Any = getattr(queue, kind)(maxsize=BOUND)
    return shared.put, shared.get


def culsans_ends(kind: Kind) -> Ends:
    import culsans

    shared: Any = getattr(culsans, kind)(maxsize=BOUND).sync_q
    return shared.put, shared.get


def asyncio_ends(kind: Kind) -> Ends:
    shared: Any = getattr(asyncio, kind)(maxsize=BOUND)
    return shared.put_nowait, shared.get_nowait


def contenders(kind: Kind, timed: Callable[[Callable[[], Ends]], Any]) -> list[Contender]:
    def contender(library: str, ends: Callable[[Kind], Ends], calls: str) -> Contender:
        package = library if library in {"penstock", "culsans"} else None
        settings = f"{calls}, maxsize {BOUND}"
        return Contender(
            f"{library}.{kind}", settings, partial(timed, partial(ends, kind)), package
        )

    found = [
        contender("penstock", penstock_ends, "`put` and `get`"),
        contender("queue", queue_ends, "`put` and `get`"),
        contender("culsans", culsans_ends, "`sync_q.put` and `sync_q.get`"),
    ]
    if timed is filled:
        calls = "`put_nowait` and `get_nowait`; for one thread only, so it has no lock"
        found.append(contender("asyncio", asyncio_ends, calls))
    return found


def case(kind: Kind, place: str, question: str, timed: Any, is_right: Any, figure: Figure) -> Case:
    return Case(
        room="queues",
        name=f"{kind.removesuffix('Queue').lower()}-{place}",
        question=question,
        contenders=contenders(kind, timed),
        is_right=is_right,
        figures=[figure],
        targets=[Target(6, f"queue.{kind}")],
    )


CASES = (
    *(
        case(
            kind,
            "put-get",
            f"What does a put and a get cost in one thread, {FILL} puts and then {FILL} gets?",
            filled,
            partial(expected, kind),
            cost(),
        )
        for kind in KINDS
    ),
    *(
        case(
            kind,
            "threads-1-to-1",
            "How many items a second pass from one thread to one other?",
            partial(handed, 1),
            # In which order depends on who comes when.
            lambda n, answer: complete(1, n, sorted(answer)),
            rate(ITEMS),
        )
        for kind in KINDS
    ),
)
