"""Whether anybody sleeps beside an item: streams in which takers and putters sleep all the time.

Whoever misses its wake looks around after a second all the same, so no round ever hangs by that;
here it shows. Every item says when it was put, by a clock that all processes share.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from penstock import SharedQueue
from penstock.queues import QueueShutDown

LOOK_AROUND = 1.0
"""Seconds after which a sleeper looks for itself."""
LONG = 0.9 * LOOK_AROUND
PUTTERS = 2
PATIENCE = 30.0


def run(seconds: float, max_items: int) -> int:
    """How many items went through. Raises AssertionError if a wake was lost on the way."""
    count = 0
    late: list[str] = []
    with SharedQueue[float](max_items=max_items) as queue, putting(queue):
        now = time.monotonic()
        end = now + seconds
        while now < end:
            asked = now
            put = queue.get(timeout=PATIENCE)
            now = time.monotonic()
            count += 1
            # An item that came while this one was not even asking has waited for good reason.
            if now - max(asked, put) > LONG:
                late.append(f"item {count} lay there for {now - max(asked, put):.4f} s")
        queue.shutdown(immediate=True)
    assert not late, f"of {count} items, a taker slept beside {len(late)}: {late[:3]}"
    return count


@contextmanager
def putting(queue: SharedQueue[float]) -> Iterator[None]:
    context: Any = get_context("spawn")
    putters: list[BaseProcess] = [
        context.Process(target=put_all, args=(queue,)) for _ in range(PUTTERS)
    ]
    try:
        for putter in putters:
            putter.start()
        yield
        for putter in putters:
            putter.join(PATIENCE)
            assert putter.exitcode == 0, f"a putter ended with {putter.exitcode}"
    finally:
        for putter in putters:
            putter.kill()
            putter.join()
            putter.close()


def put_all(queue: SharedQueue[float]) -> None:
    clock = time.monotonic
    try:
        while True:
            queue.put(clock())
    except QueueShutDown:
        pass
