"""Breaks a worker pool on purpose, from a seed.

Callers on threads and on an event loop run tasks with and without arrays, with timeouts, with
cancellation; meanwhile workers are killed, stopped and continued, tasks end their processes, and
the zygote dies. Whatever happens, every caller gets its answer, correct, or an error that says
what happened to its task; in the end the books balance and nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np

from penstock import WorkerPool
from penstock.errors import Expired, Full
from penstock.workers import WorkerLost
from tests.workers import tasks
from tests.workers.traces import nothing_left

MIB = 1 << 20
PATIENCE = 60.0
"""Seconds after which a caller without an answer is a violation."""


def run(seed: int, seconds: float) -> int:
    with nothing_left():
        return _Round(seed, seconds).run()


class _Round:
    def __init__(self, seed: int, seconds: float) -> None:
        self.random = random.Random(seed)
        self.end = time.monotonic() + seconds
        self.over = threading.Event()
        self.violations: list[BaseException] = []
        self.pool = WorkerPool(
            workers=self.random.choice([1, 2, 3]),
            max_pending=self.random.choice([4, 64, 1024]),
            max_tasks_per_child=self.random.choice([None, None, 1, 50]),
            max_bytes=self.random.choice([24, 64, 512]) * MIB,
            preload=["tests.workers.tasks"],
            name=f"chaos-{seed}",
        )
        self.operations = 0
        self.counting = threading.Lock()

    def run(self) -> int:
        callers: list[Any] = [self.threads, self.threads, self.mapping, self.looping]
        with self.pool:
            threads = [
                threading.Thread(target=self.guarded, args=(body, self.random.random()))
                for body in [*callers, self.breaking]
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(self.end - time.monotonic() + 2 * PATIENCE)
                assert not thread.is_alive(), "a caller never got its answer"
            if self.violations:
                raise self.violations[0]
            assert self.pool.submit(tasks.add, 41).result(PATIENCE) == 42, "the pool goes on"
            now = self.pool.statistics()
            assert now.submitted == now.completed + now.failed + now.cancelled, now
            assert (now.queued, now.laid) == (0, 0), now
            assert self.pool._gate._inside == 0
            assert not self.pool._engine.deadlines._tasks
        return self.operations

    def guarded(self, body: Any, seed: float) -> None:
        try:
            body(random.Random(seed))
        except BaseException as error:
            self.violations.append(error)
            self.over.set()

    def going(self) -> bool:
        return time.monotonic() < self.end and not self.over.is_set()

    def count(self, operations: int) -> None:
        with self.counting:
            self.operations += operations

    # -- callers -----------------------------------------------------------------------------

    def threads(self, dice: random.Random) -> None:
        """Submit in bursts, take some back, look at what comes."""
        while self.going():
            burst = [self.submit(dice) for _ in range(dice.randint(1, 40))]
            for future, _ in burst:
                if dice.random() < 0.1:
                    future.cancel()
            for future, expected in burst:
                check(future, expected)
            self.count(len(burst))

    def submit(self, dice: random.Random) -> tuple[Future[Any], Any]:
        kind = dice.random()
        number = dice.randrange(1000)
        if kind < 0.02:
            return self.pool.submit(tasks.kill_self), WorkerLost
        if kind < 0.03:
            return self.pool.submit(tasks.exit_process, 3), WorkerLost
        if kind < 0.1:
            return self.pool.submit(tasks.odd_only, 2 * number), ValueError
        if kind < 0.3:
            array = np.full(dice.choice([10, 3_000, 200_000]), number)
            return self.pool.submit(tasks.add, array, number), array + number
        return self.pool.submit(tasks.double, number), 2 * number

    def mapping(self, dice: random.Random) -> None:
        while self.going():
            size = dice.randint(0, 300)
            try:
                answers = list(self.pool.map(tasks.double, range(size)))
            except WorkerLost:
                continue
            assert answers == [2 * number for number in range(size)]
            self.count(size)

    def looping(self, dice: random.Random) -> None:
        asyncio.run(self.calls(dice))

    async def calls(self, dice: random.Random) -> None:
        while self.going():
            await asyncio.gather(*[self.call(dice) for _ in range(dice.randint(1, 20))])

    async def call(self, dice: random.Random) -> None:
        number = dice.randrange(1000)
        kind = dice.random()
        if kind < 0.05:
            with_timeout = self.pool.run(tasks.kill_self, signal.SIGSTOP, timeout=0.05)
            try:
                await asyncio.wait_for(with_timeout, PATIENCE)
            except (Expired, WorkerLost):
                pass
            else:
                raise AssertionError("a task that stops its process has returned")
        elif kind < 0.15:
            task = asyncio.ensure_future(self.pool.run(tasks.double, number))
            await asyncio.sleep(dice.choice([0, 0, 0.001]))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WorkerLost):
                assert await task == 2 * number
        else:
            array = np.full(dice.choice([10, 100_000]), number)
            try:
                timeout = dice.choice([None, PATIENCE, 0.2])
                answer = await asyncio.wait_for(
                    self.pool.run(tasks.add, array, 1, timeout=timeout), PATIENCE
                )
            except (WorkerLost, Full):
                pass
            except Expired:
                assert timeout == 0.2
            else:
                assert (answer == number + 1).all(), "a wrong answer"
        self.count(1)

    # -- the breaking ------------------------------------------------------------------------

    def breaking(self, dice: random.Random) -> None:
        while not self.over.wait(dice.uniform(0.0, 0.15)) and self.going():
            zygote, *workers = [*self.pool.pids(), 0]
            workers = [pid for pid in workers if pid]
            kind = dice.random()
            if kind < 0.08 and zygote:
                self.end_by(zygote, signal.SIGKILL)
            elif kind < 0.12:
                self.pool.kill_workers()
            elif workers and kind < 0.5:
                self.end_by(dice.choice(workers), signal.SIGKILL)
            elif workers:
                worker = dice.choice(workers)
                if self.end_by(worker, signal.SIGSTOP):
                    self.over.wait(dice.uniform(0.0, 0.03))
                    self.end_by(worker, signal.SIGCONT)

    def end_by(self, pid: int, number: signal.Signals) -> bool:
        """Signal a process of the pool, if it still is one."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # The pid may have been another's before it was opened.
            if pid not in self.pool.pids():
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True


def check(future: Future[Any], expected: Any) -> None:
    try:
        answer = future.result(PATIENCE)
    except (WorkerLost, CancelledError, Full):
        return  # what was done to the worker, or to the future, or the arena
    except ValueError:
        if expected is not ValueError:
            raise
        return
    assert not isinstance(expected, type), f"{answer!r} instead of {expected}"
    assert np.array_equal(answer, expected), "a wrong answer"
