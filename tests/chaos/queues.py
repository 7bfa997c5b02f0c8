"""Queues under random cancellation, timeouts and shutdown, on three loops and from threads.

In most rounds one loop has a queue to itself: everybody is parked before each tick, and a ledger
that never asks the queue knows its content at every step (`same_tick`). In the others three loops
and two threads share their queues (`crowd`). An operation is a call that has ended, whether it was
done, refused or cancelled, or its time was up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tests.chaos.crowd import Crowd
from tests.chaos.getters import Getters
from tests.chaos.putters import Batches, Putters
from tests.chaos.same_tick import Trial
from tests.chaos.selectors import Selectors
from tests.loops import LOOPS


class Round(Protocol):
    def run(self, loop: str) -> None: ...

    def check(self, where: str) -> int: ...


DOORS = (Getters, Putters, Batches, Selectors)
MAKERS: list[tuple[str, str, Callable[[random.Random], Round]]] = [
    *((door.__name__, loop, partial(Trial, door)) for door in DOORS for loop in LOOPS),
    ("Crowd", "all loops", Crowd),
]


def run(seed: int, seconds: float) -> int:
    """Runs rounds until the time is up, each kind once at least; the number of operations done.

    Raises AssertionError, which names the seed.
    """
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    operations = 0
    number = 0
    while number < len(MAKERS) or time.monotonic() < deadline:
        name, loop, make = MAKERS[number % len(MAKERS)]
        where = f"seed {seed}, round {number}, {name} on {loop}"
        round_ = make(random.Random(rng.getrandbits(64)))
        try:
            round_.run(loop)
        except Exception as failure:
            raise AssertionError(f"{where}: {failure!r}") from failure
        operations += round_.check(where)
        number += 1
    return operations
