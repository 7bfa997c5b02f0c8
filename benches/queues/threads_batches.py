"""From one thread to one other in batches, beside the standard library, which has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Thread

from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.queues.peers import BOUND, in_order
from benches.queues.thread_to_loop_batches import BATCH, feed_batches
from benches.queues.threads import elapsed, handed, standard
from benches.units import ITEMS


@contextmanager
def handed_in_batches() -> Iterator[Work]:
    from penstock import Queue

    def work(n: int) -> Lap:
        queue = Queue[int](maxsize=BOUND)
        batches: list[list[int]] = []

        def consume() -> None:
            left = n
            while left:
                batch = queue.get_many(BATCH)
                batches.append(batch)
                left -= len(batch)

        threads = [Thread(target=consume), Thread(target=feed_batches, args=(queue, n))]
        took = elapsed(threads)
        return Lap(list(chain.from_iterable(batches)), took)

    yield work


def contenders() -> list[Contender]:
    return [
        Contender(
            "put_many and get_many",
            f"`put_many` of {BATCH} and `get_many({BATCH})`, maxsize {BOUND}",
            handed_in_batches,
            "penstock",
        ),
        *standard(partial(handed, 1)),
    ]


CASES = (
    Case(
        room="queues",
        name="threads-1-to-1-batches",
        question=f"How many items a second pass between two threads in batches of up to {BATCH}?",
        contenders=contenders(),
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(2, "penstock.Queue"), Target(1.5, "queue.SimpleQueue")],
    ),
)
