"""Waiting costs nothing: no processor time, and no timer in any event loop.

Time is no measure of that on a machine with other work. A thread that sleeps until it is woken
makes no context switch of its own accord, however long it sleeps, and one that polls makes one
at each look; so the switches are counted, from outside, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.loops import LOOPS

WINDOW = 2.0
"""Seconds that every thread has to sleep through."""

PROGRAM = """
import asyncio, json, sys, threading, time

import trio
from penstock import LifoQueue, PriorityQueue, Queue, select
from penstock.queues import select_blocking

names, reports = {threading.get_native_id(): "main"}, Queue()


class Waiters:
    # One queue of each kind to wait at, with and without a bound; nothing ever comes.
    def __init__(self):
        self.empty = [Queue(4), LifoQueue(), PriorityQueue(4), Queue(4, fair=True)]
        self.full = [Queue(1), LifoQueue(1), PriorityQueue(1), Queue(1, fair=True)]
        for queue in self.full:
            queue.put(0)

    def parked(self):
        getters = sum(queue.statistics().waiting_getters for queue in self.empty)
        putters = sum(queue.statistics().waiting_putters for queue in self.full)
        # Three getters at each and a select that stands in all lines; a join is counted nowhere.
        return (getters, putters) == (4 * 4, 3 * 4)

    def blocking(self):
        yield lambda: select_blocking(*self.empty)
        for queue in self.empty:
            yield queue.get
            yield lambda queue=queue: queue.get_many(4, min=3)
            yield queue.peek
        for queue in self.full:
            yield lambda queue=queue: queue.put(1)
            yield lambda queue=queue: queue.put_many([1, 2])
            yield queue.reserve
            yield queue.join

    def awaited(self):
        yield select(*self.empty)
        for queue in self.empty:
            yield queue.aget()
            yield queue.aget_many(4, min=3)
            yield queue.apeek()
        for queue in self.full:
            yield queue.aput(1)
            yield queue.aput_many([1, 2])
            yield queue.areserve()
            yield queue.ajoin()


def in_asyncio(name, new_loop):
    names[threading.get_native_id()] = name
    loop = new_loop()
    timers = []

    class Counting(type(loop)):
        def call_at(self, when, *arguments, **keywords):
            timers.append(when)
            return super().call_at(when, *arguments, **keywords)

        def call_later(self, delay, *arguments, **keywords):
            timers.append(delay)
            return super().call_later(delay, *arguments, **keywords)

    loop.close()
    waiters = Waiters()

    async def main():
        tasks = [asyncio.ensure_future(operation) for operation in waiters.awaited()]
        while not waiters.parked():
            await asyncio.sleep(0)
        scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])  # uvloop shows none
        reports.put((name, len(timers) + len(scheduled)))
        await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=Counting) as runner:
        runner.run(main())


def in_trio(name):
    names[threading.get_native_id()] = name
    waiters = Waiters()

    async def main():
        async with trio.open_nursery() as nursery:
            for operation in waiters.awaited():
                nursery.start_soon(lambda operation=operation: operation)
            while not waiters.parked():
                await trio.lowlevel.checkpoint()
            next_deadline = trio.lowlevel.current_statistics().seconds_to_next_deadline
            reports.put((name, int(next_deadline != float("inf"))))

    trio.run(main)


def in_thread(call):
    names[threading.get_native_id()] = f"thread in {call}"
    call()


loops = sys.argv[1:]
for name in loops:
    if name == "trio":
        target, arguments = in_trio, (name,)
    elif name == "uvloop":
        import uvloop

        target, arguments = in_asyncio, (name, uvloop.new_event_loop)
    else:
        target, arguments = in_asyncio, (name, asyncio.new_event_loop)
    threading.Thread(target=target, args=arguments, daemon=True).start()
timers = dict(reports.get() for _ in loops)
blocking = Waiters()
calls = list(blocking.blocking())
for call in calls:
    threading.Thread(target=in_thread, args=(call,), daemon=True).start()
while not blocking.parked() or len(names) < 1 + len(loops) + len(calls):
    time.sleep(0)
print(json.dumps({"names": names, "timers": timers}), flush=True)
Queue().get()
"""


def switches(pid: int, names: dict[str, str]) -> dict[str, int]:
    """How often each thread has gone to sleep."""
    found = {}
    for thread in names:
        with open(f"/proc/{pid}/task/{thread}/status") as file:
            (line,) = (line for line in file if line.startswith("voluntary_ctxt_switches"))
        found[thread] = int(line.split()[1])
    return found


def processor_time(pid: int) -> float:
    # The processor clock of another process, as clock_getcpuclockid(3) numbers it.
    return time.clock_gettime((~pid << 3) | 2)


def test_who_waits_uses_no_processor_time_and_no_timer():
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *LOOPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            report = json.loads(process.stdout.readline())
            assert report["timers"] == dict.fromkeys(LOOPS, 0)
            names = report["names"]
            assert len(names) == 1 + len(LOOPS) + 1 + 4 * 3 + 4 * 4
            # The last ones may be on their way to sleep yet: a look before it counts.
            for window in (WINDOW / 8, WINDOW, WINDOW, WINDOW):
                begin, used = time.monotonic(), processor_time(process.pid)
                before = switches(process.pid, names)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=window)
                after = switches(process.pid, names)
                used = processor_time(process.pid) - used
                looks = time.monotonic() - begin + 1  # for signals, by the main thread
                woke = {names[each]: after[each] - before[each] for each in names}
                main = woke.pop("main")
                awake = {name: count for name, count in woke.items() if count}
                if window == WINDOW and not awake and main <= looks:
                    break
            assert not awake, "they do not sleep"
            assert main <= looks, "the main thread looks around too often"
            assert used <= 0.001 * looks, "a look costs more than a millisecond"
        finally:
            process.kill()
