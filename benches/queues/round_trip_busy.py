"""The round trip while another thread computes: then the interpreter's switch interval decides.

A thread that wants the global lock asks for it after the interval, and the one that computes gives
it up no sooner. So every change of threads costs that much, whatever the queue.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Event, Thread

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.queues.peers import BOUND, in_order, penstock_ends
from benches.queues.round_trip import echoed, echoed_by_two, standard_wires

TRIPS = 100  # where each takes two to three intervals, that is a second and more


@contextmanager
def computing(interval: float) -> Iterator[None]:
    """A thread that computes in Python until the context is left, at the given switch interval."""
    stop = Event()
    begun = Event()

    def compute() -> None:
        begun.set()
        while not stop.is_set():
            for _ in range(1000):
                pass

    before = sys.getswitchinterval()
    thread = Thread(target=compute)
    sys.setswitchinterval(interval)
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)


@contextmanager
def disturbed(
    opened: Callable[[], AbstractContextManager[Work]], interval: float
) -> Iterator[Work]:
    with opened() as work:

        def lap(n: int) -> Lap:
            with computing(interval):
                return work(n)

        yield lap


def contenders(milliseconds: float) -> list[Contender]:
    interval = milliseconds / 1000
    at = f"at {milliseconds:g} ms"
    return [
        Contender(
            f"penstock.Queue {at}",
            f"`aput`, `get`, `put`, `aget`, maxsize {BOUND}; `sys.setswitchinterval({interval:g})`",
            partial(disturbed, partial(echoed_by_two, "asyncio", penstock_ends), interval),
            "penstock",
        ),
        Contender(
            f"SimpleQueue and asyncio.Queue {at}",
            "`queue.SimpleQueue` there, `call_soon_threadsafe(put_nowait)` back; no bounds; "
            f"`sys.setswitchinterval({interval:g})`",
            partial(
                disturbed, partial(echoed, "asyncio", partial(standard_wires, "asyncio")), interval
            ),
        ),
    ]


CASES = (
    Case(
        room="queues",
        name="round-trip-busy",
        question=(
            "How long does an item take from a task on asyncio to a thread and back while a third "
            "thread computes, by the interpreter's switch interval?"
        ),
        contenders=[*contenders(0.5), *contenders(5)],
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        # Ten times the interval lies between the two; the median trip may find the lock free.
        targets=[Target(3, "penstock.Queue at 5 ms", "p99")],
        least=TRIPS,
    ),
)
