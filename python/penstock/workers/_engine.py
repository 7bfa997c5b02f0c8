"""Behind a pool: the queue of tasks, the workers, and who may do what with a task.

Everything that is decided is decided here, in the pool's private memory and under one lock: which
task lies with which worker, what was promised to whom, who has died. A worker sees its own link
and no more.

Who does what: a thread that submits a small task lays it with a worker itself, if one has room
and nobody queues before it. All else is the reactor's (see `_reactor`). A future is completed by
whoever has claimed its task under the lock, once; it is completed without the lock, since its
callbacks are the user's code.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from penstock._native import Arena
from penstock.errors import Closed, EngineError, Lost, Misuse
from penstock.shared import OUT_OF_BAND

from . import _main_module
from ._deadlines import Deadlines
from ._launcher import Launcher
from ._reactor import Reactor
from ._statistics import Ledger
from ._task import Task
from ._workers import Worker

_SMALL = OUT_OF_BAND
"""Payloads up to this many bytes are placed by whoever submits them."""


_SILENCE = 1_000_000
"""Nanoseconds without a result after which what lies behind a worker's task is given to others."""


def _nothing() -> dict[str, int]:
    return {"held": 0, "resident": 0}


class Engine:
    """See the module's head."""

    def __init__(
        self,
        name: str,
        workers: int,
        max_tasks_per_child: int | None,
        max_bytes: int,
        preload: list[str],
        on_done: Callable[[], None],
    ) -> None:
        self.name = name
        self.size = workers
        self.max_bytes = max_bytes
        self.on_done = on_done
        self._max_tasks = max_tasks_per_child
        self._preload = preload
        self.lock = threading.Lock()
        self.pending: deque[Task] = deque()
        self.placing: Task | None = None
        """Taken from the queue by the reactor, its payload being copied."""
        self.workers: dict[int, Worker] = {}
        """By participant number."""
        self.deadlines = Deadlines()
        self.draining = False
        self.ended = threading.Event()
        """Set when nothing is left of the pool but its thread's last step."""
        self.broken: BaseException | None = None
        """Why no worker can be had any more."""
        self.ledger = Ledger(workers)
        self.arena_usage: Callable[[], dict[str, int]] = _nothing
        # From `start` to `release`:
        self.arena: Arena
        self.launcher: Launcher | None = None
        self._pid: int | None = None
        self._bell = -1
        self._rung = False
        self._thread: threading.Thread | None = None

    # -- for the pool, from any thread -------------------------------------------------------

    def start(self) -> None:
        """Start zygote, workers and reactor; all or nothing."""
        if self._thread is not None or self.draining:
            state = "has been used" if self.draining else "is running already"
            raise Misuse(f"pool {self.name!r} {state}", hint="make another pool")
        _main_module.refuse_while_loading(self.name)
        self._pid = os.getpid()
        self.launcher = Launcher(self.name, self._preload)
        try:
            self.launcher.start()
            self.arena = Arena(self.max_bytes)
            self.arena_usage = self.arena.usage
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            reactor = Reactor(self, self._bell)
            try:
                reactor.staff()
                self._thread = threading.Thread(
                    target=reactor.run, name=f"penstock-pool-{self.name}", daemon=True
                )
                self.ledger.start()
                self._thread.start()
            except BaseException:
                self._thread = None
                reactor.close()
                raise
        except BaseException:
            self.release()
            self._pid = None
            raise

    @property
    def is_foreign(self) -> bool:
        """Whether this process was forked from the one that started the pool."""
        return self._pid is not None and self._pid != os.getpid()

    @property
    def is_reactor(self) -> bool:
        """Whether the calling thread is the reactor's, in a future's callback."""
        return threading.current_thread() is self._thread

    def check(self) -> None:
        """Raise what keeps a task from being taken now."""
        if not self.draining and self._thread is not None and self._pid == os.getpid():
            return
        self._check_process()
        if self.broken is not None:
            raise self.breakage()
        if self.draining:
            raise Closed(f"pool {self.name!r} is shut down", hint="submit before leaving its block")
        raise Misuse(
            f"pool {self.name!r} has not been started",
            hint="use it inside `with pool:` or `async with pool:`",
        )

    def submit(self, task: Task) -> None:
        with self.lock:
            self.check()
            self.ledger.submitted += 1
            earliest = task.deadline is not None and self.deadlines.add(task, task.deadline)
            first = not self.pending and self.placing is None
            self.pending.append(task)
            if first:
                self.feed()
            if earliest or (task.worker is None and self.has_room()):
                self._ring()

    def cancel(self, task: Task) -> bool:
        """Take a task back that has not begun."""
        self._check_process()
        with self.lock:
            if task.claimed:
                return task.taken_back
            if not self.withdraw(task):
                return False
            self._note_cancelled(task)
        self._let_go(task)
        return True

    def end(self, task: Task, verdict: BaseException) -> None:
        """Take the task back, or, if it runs, end its worker and the task with `verdict`."""
        self._check_process()
        with self.lock:
            if task.claimed:
                return
            withdrawn = self.withdraw(task)
            if withdrawn:
                self._note_cancelled(task)
            else:
                self.condemn(task, verdict)
        if withdrawn:
            self._let_go(task)

    def has_begun(self, task: Task) -> bool:
        """Whether a worker runs it."""
        with self.lock:
            worker = task.worker
            return worker is not None and worker.has_begun(task)

    def stop(self, *, cancel: bool, kill: bool, wait: bool) -> None:
        """Take nothing new; end when all that was taken is done (or thrown away)."""
        self._check_process()
        thrown = []
        with self.lock:
            thread = self._thread
            self.draining = True
            for task in self._open_tasks() if cancel or kill else []:
                if self.withdraw(task):
                    self._note_cancelled(task)
                    thrown.append(task)
                elif kill and task.verdict is None:
                    gone = Closed(f"pool {self.name!r} was stopped before the task was done")
                    self.condemn(task, gone)
                    task.verdict = gone
            for worker in self.workers.values() if kill else []:
                self.doom(worker)
            self._ring()
        for task in thrown:
            self._let_go(task)
        if wait and thread is not None and not self.is_reactor:
            # First the event: a Ctrl-C in `join` makes CPython take the thread for ended.
            self.ended.wait()
            thread.join()

    def kill_workers(self) -> None:
        """End every worker now; what they ran is lost, the pool goes on with new ones."""
        self._check_process()
        with self.lock:
            for worker in self.workers.values():
                self.doom(worker)

    def pids(self) -> list[int]:
        """Of zygote and workers."""
        self._check_process()
        with self.lock:
            zygote = None if self.launcher is None else self.launcher.pid
            workers = [worker.pid for worker in self.workers.values()]
            return workers if zygote is None else [zygote, *workers]

    def levels(self) -> tuple[int, int, int, int, int]:
        """Workers, idle ones, tasks queued here, tasks laid with them, their busy nanoseconds."""
        self._check_process()
        with self.lock:
            queued = len(self.pending) + (self.placing is not None)
            laid = sum(len(worker.tasks) for worker in self.workers.values())
            idle = sum(not worker.tasks for worker in self.workers.values())
            busy = sum(worker.busy for worker in self.workers.values())
            return len(self.workers), idle, queued, laid, busy

    def appetite(self) -> int:
        """How many tasks the workers would have lie with them."""
        with self.lock:
            return sum(worker.ahead for worker in self.workers.values())

    def _check_process(self) -> None:
        # Before the lock is touched, which may have been held at the fork.
        if self.is_foreign:
            raise Misuse(
                f"pool {self.name!r} belongs to process {self._pid}; this one was forked from it",
                hint="make a pool in the child",
            )

    def _let_go(self, task: Task) -> None:
        """Make a withdrawn task a cancelled one."""
        self.forget(task)
        task.withdraw()

    def forget(self, task: Task) -> None:
        """A claimed task is about to be completed: its place in the pool is free."""
        task.payload = task.parcel = task.worker = None
        self.on_done()

    def breakage(self) -> EngineError:
        """An error of the caller's own: one that many raise gathers all their tracebacks."""
        error = EngineError(
            f"pool {self.name!r} has given up: {self.broken}",
            hint=getattr(self.broken, "hint", None),
        )
        error.__cause__ = self.broken
        return error

    # -- with the lock held ------------------------------------------------------------------

    def has_room(self) -> bool:
        return any(worker.room > 0 for worker in self.workers.values())

    def claim(self, task: Task) -> None:
        """Undertake to complete the task's future."""
        task.claimed = True
        self.deadlines.discard(task)

    def feed(self) -> None:
        """Lay tasks with workers while there is room and their payloads are placed or small."""
        while self.pending:
            task = self.pending[0]
            worker = self._least_laden()
            if worker is None:
                return
            if task.parcel is None:
                if task.payload is None or task.payload.nbytes > _SMALL:
                    return
                task.parcel = self.arena.pack(*task.payload)
                task.payload = None
            if not (self._lay(worker, task) or self._lay_elsewhere(worker, task)):
                return  # the lanes are full; the workers ring when they have read on
            self.pending.popleft()

    def balance(self) -> int | None:
        """Give idle workers what waits behind another's task, which may take for ever.

        Not before that one has been silent for a while: tasks that are quick are done before they
        could be had from elsewhere. Answers at which time (ns) it is worth to look again.
        """
        if self.pending:
            return None
        for idle in self.workers.values():
            if idle.tasks or idle.room <= 0:
                continue
            ahead = [worker for worker in self.workers.values() if len(worker.tasks) > 1]
            if not ahead:
                return None
            silent = min(ahead, key=lambda worker: worker.heard)
            if time.monotonic_ns() - silent.heard < _SILENCE:
                return silent.heard + _SILENCE
            waiting = list(silent.tasks.values())[1:]
            for task in waiting[-min(idle.room, (len(waiting) + 1) // 2) :]:
                if silent.port.recall(task.slot, task.number):
                    silent.take_back(task)
                    if not self._lay(idle, task):
                        self.pending.append(task)
        return None

    def withdraw(self, task: Task) -> bool:
        """Claim a task that has not begun, if that is so."""
        worker = task.worker
        if worker is None:
            # Queued here; or being placed, then the reactor finds it claimed.
            with contextlib.suppress(ValueError):
                self.pending.remove(task)
        elif worker.port.recall(task.slot, task.number):
            worker.take_back(task)
        else:
            return False
        self.claim(task)
        return True

    def condemn(self, task: Task, verdict: BaseException) -> bool:
        """End a task that runs, with its worker. False: it has ended, the result is on the way."""
        worker = task.worker
        if worker is None:
            return False
        if not worker.port.condemn(task.slot, task.number) and worker.has_ended(task):
            return False
        # If its state makes no sense, the task has written over it.
        task.verdict = verdict
        self.doom(worker)
        return True

    def doom(self, worker: Worker) -> None:
        """Kill a worker; its burial follows."""
        if not worker.doomed:
            worker.doomed = True
            worker.kill()

    def _least_laden(self) -> Worker | None:
        least = None
        for worker in self.workers.values():
            if worker.room > 0 and (least is None or len(worker.tasks) < len(least.tasks)):
                least = worker
        return least

    def _lay_elsewhere(self, not_with: Worker, task: Task) -> bool:
        others = [worker for worker in self.workers.values() if worker is not not_with]
        return any(worker.room > 0 and self._lay(worker, task) for worker in others)

    def _lay(self, worker: Worker, task: Task) -> bool:
        try:
            laid = worker.lay(task)
        except Lost:
            self.doom(worker)
            return task.worker is not None
        if laid and self._max_tasks is not None and worker.sent >= self._max_tasks:
            worker.retiring = True
        return laid

    def _open_tasks(self) -> Iterator[Task]:
        laid = [task for worker in self.workers.values() for task in worker.tasks.values()]
        placing = [self.placing] if self.placing is not None else []
        tasks = [*placing, *self.pending, *laid]
        return (task for task in tasks if not task.claimed)

    def _note_cancelled(self, task: Task) -> None:
        task.taken_back = True
        self.ledger.cancelled += 1

    def _ring(self) -> None:
        if self._bell >= 0 and not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    # -- for the reactor ---------------------------------------------------------------------

    def answer(self) -> None:
        """Forget the rings so far; what they were about is looked at afterwards."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        self._rung = False

    def release(self) -> None:
        """Let go of everything that a running pool has: it has ended, or could not start."""
        with self.lock:
            workers = list(self.workers.values())
            self.workers.clear()
            launcher, self.launcher = self.launcher, None
            bell, self._bell = self._bell, -1
            self.arena_usage = _nothing
            if hasattr(self, "arena"):
                del self.arena
        if launcher is not None:
            launcher.stop()
        for worker in workers:
            worker.close()
        if bell >= 0:
            os.close(bell)
        self.ledger.stop()
