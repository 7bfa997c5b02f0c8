"""The hand-off between two threads that truly run at once: on a Python without the global lock."""

from __future__ import annotations

from functools import partial

from benches.case import Case, Target, rate
from benches.queues.peers import in_order
from benches.queues.threads import handed, standard
from benches.queues.threads_batches import BATCH, contenders
from benches.units import ITEMS

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
        contenders=contenders(),
        is_right=in_order,
        figures=[rate(ITEMS)],
        targets=[Target(1.5, "queue.SimpleQueue")],
        without_gil=True,
    ),
)
