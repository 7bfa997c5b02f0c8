"""The hand-off between two threads that truly run at once: on a Python without the global lock."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Thread

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.queues.peers import in_order
from benches.queues.threads import elapsed, handed, standard
from benches.queues.threads_batches import BATCH, contenders
from benches.units import ITEMS


@contextmanager
def handed_in_lists() -> Iterator[Work]:
    """The same integers made and kept, and next to nothing in between."""

    def work(n: int) -> Lap:
        shared = queue.SimpleQueue[list[int]]()
        batches: list[list[int]] = []

        def consume() -> None:
            batches.extend(shared.get() for _ in range(0, n, BATCH))

        def produce() -> None:
            for start in range(0, n, BATCH):
                shared.put(list(range(start, min(start + BATCH, n))))

        took = elapsed([Thread(target=consume), Thread(target=produce)])
        return Lap(list(chain.from_iterable(batches)), took)

    yield work


CASES = (
    Case(
        room="queues",
        name="threads-1-to-1-without-gil",
        question="How many items a second pass from one thread to one other, one by one?",
        contenders=standard(partial(handed, 1)),
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(0.8, "queue.SimpleQueue")],
        without_gil=True,
    ),
    Case(
        room="queues",
        name="threads-1-to-1-batches-without-gil",
        question=f"How many items a second pass between two threads in batches of up to {BATCH}?",
        contenders=[
            *contenders(),
            Contender(
                "lists through SimpleQueue",
                f"one `put` and one `get` for each list of {BATCH}: what is left if passing an "
                "item costs nothing; no queue of items",
                handed_in_lists,
            ),
        ],
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(1.5, "queue.SimpleQueue")],
        without_gil=True,
    ),
)
