"""What a queue does not do while one of its sides is slow: look around for it."""

from __future__ import annotations

import pytest

from benches.environment import ROOT
from benches.system_calls import can_be_counted
from tests.loops import FREE_THREADED
from tests.queues.programs import run

PROGRAM = """
import time
from threading import Thread
from benches.system_calls import counted
from penstock import Queue

def busy(queue):
    # Each side finds the queue full or empty over and over, while the other one is on its way.
    thread = Thread(target=lambda: [queue.put(n) for n in range(300)])
    thread.start()
    for _ in range(300):
        queue.get()
    thread.join()

def slow(queue, items):
    # Whoever comes finds the other side asleep, and nothing there.
    thread = Thread(target=lambda: [queue.get() for _ in range(items)])
    thread.start()
    for n in range(items):
        while not queue.statistics().waiting_getters:
            time.sleep(0.0001)
        queue.put(n)
    thread.join()

queue = Queue(4)
{before}
with counted(["sched_yield"]) as found:
    {counted}
print(*found)
"""


def yields(before: str, counted: str) -> int:
    return int(run(PROGRAM.format(before=before, counted=counted), PYTHONPATH=str(ROOT)))


@pytest.mark.skipif(FREE_THREADED, reason="without a global lock there is nothing to let go of")
@pytest.mark.skipif(not can_be_counted(), reason="no strace that may trace")
class TestLulls:
    def test_a_busy_queue_has_them(self):
        assert yields("", "busy(queue)") > 0

    @pytest.mark.parametrize("before", ["", "busy(queue)"])
    def test_a_queue_with_a_slow_side_has_none(self, before):
        assert yields(before, "slow(queue, 200)") == 0
