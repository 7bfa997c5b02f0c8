"""The bare price of a pair of calls, with nobody waiting; the standard library's C queue wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns

from benches.case import Case, Lap, Target, Work, cost
from benches.queues.peers import in_order
from benches.queues.threads import Ends, others, standard


@contextmanager
def alternated(ends: Callable[[], Ends]) -> Iterator[Work]:
    put, get = ends()

    def work(n: int) -> Lap:
        started = perf_counter_ns()
        # Every put gives None; the comparison is cheaper than a second statement.
        answer = [get() for item in range(n) if put(item) is None]
        return Lap.since(started, answer)

    yield work


CASES = (
    Case(
        room="queues",
        name="put-get",
        question="What does a put and a get cost in one thread?",
        contenders=[*standard(alternated), *others(alternated)],
        is_right=in_order,
        figures=[cost()],
        # At most 1.5 times the time of SimpleQueue.
        targets=[Target(1 / 1.5, "queue.SimpleQueue")],
    ),
)
