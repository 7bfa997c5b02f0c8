"""The interpreter ends beside daemon threads that use queues, and nothing crashes."""

from __future__ import annotations

import pytest

from tests.loops import FREE_THREADED, LOOPS
from tests.queues.programs import backend, run

USES = {
    "parked": "own.get()",
    "busy": "own.put(1); own.get()",
    "expiring": "own.get(timeout=0.0001)",
    "putting": "full.put(1)",
    "putting many": "full.put_many([1, 2])",
    "reserving": "full.reserve()",
    "joining": "full.join()",
    "selecting": "select_blocking(own, other)",
    "iterating": "list(own)",
    # Below a native call for ever, in Python code.
    "collecting": "own.put_many(endless())",
    "comparing": "other.put(Endless()); other.put(Endless())",
}


@pytest.mark.parametrize("use", USES)
def test_the_interpreter_ends_beside_daemon_threads(use):
    for _ in range(3):
        run(f"""
            import threading, time
            from penstock import PriorityQueue, Queue
            from penstock.queues import QueueEmpty, select_blocking
            full, other = Queue(1), PriorityQueue()
            full.put(0)
            started = threading.Event()
            class Endless:
                def __lt__(self, other):
                    started.set()
                    while True:
                        time.sleep(1e-4)
            def endless():
                yield Endless() < Endless()
            def work():
                own = Queue(1)
                if {use!r} not in ("collecting", "comparing"):
                    started.set()
                while True:
                    try:
                        {USES[use]}
                    except QueueEmpty:
                        pass
            for _ in range(4):
                threading.Thread(target=work, daemon=True).start()
            started.wait()
        """)


# CPython 3.13 without its lock may hang by itself at its end, with only `threading`: a lock of
# its own is handed to a daemon thread that no longer runs, and the main thread waits for it. So
# there the program ends only once the loops sleep in their poll, where they want no lock.
BUSY_LOOP, REST = ("pass", "rest") if FREE_THREADED else ("group.start_soon(expire)", "go on")


@pytest.mark.parametrize("name", LOOPS)
def test_the_interpreter_ends_beside_loops_in_daemon_threads(name):
    for _ in range(3):
        run(f"""
            import threading
            import anyio
            from penstock import Queue, select
            from penstock.queues import QueueEmpty

            {backend(name)}
            empty, other, full = Queue(1), Queue(), Queue(1)
            full.put(0)

            async def expire():
                while True:
                    try:
                        await empty.aget(timeout=1e-6)
                    except QueueEmpty:
                        pass

            async def main():
                async with anyio.create_task_group() as group:
                    {BUSY_LOOP}
                    group.start_soon(empty.aget)
                    group.start_soon(other.aget)
                    group.start_soon(full.aput, 1)
                    group.start_soon(select, empty, other)

            def rests(thread):
                with open(f"/proc/self/task/{{thread.native_id}}/wchan") as file:
                    return "poll" in file.read()

            loops = []
            for _ in range(2):
                thread = threading.Thread(
                    target=anyio.run, args=(main,), kwargs=backend, daemon=True
                )
                thread.start()
                loops.append(thread)
            while full.statistics().waiting_putters < 2:
                pass
            while {REST!r} == "rest" and not all(map(rests, loops)):
                pass
        """)
