"""Behind a pool: the queue of tasks, the workers, and the thread that looks after both.

Everything that is decided is decided here, in the pool's private memory: which task lies with
which worker, what was promised to whom, who has died. A worker sees its own link and no more.

Who does what: a thread that submits a small task lays it with a worker itself, if one has
room and nobody queues before it. All else is the reactor's: large payloads are copied there (so
that an event loop never stands still for one), results are taken in, deadlines kept, deaths
noticed and made good. Futures are completed without the lock, since their callbacks are the
user's code.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from penstock._native import Arena, Parcel, Port
from penstock.errors import Closed, EngineError, Expired, Full, Lost, Misuse
from penstock.shared import OUT_OF_BAND, load

from ._launcher import Launcher
from ._outcome import restore
from ._statistics import Ledger
from ._task import Task
from ._workers import Worker
from .errors import lost

_SMALL = OUT_OF_BAND
"""Payloads up to this many bytes are placed by whoever submits them."""

_FALSE_STARTS = 3
"""So many workers in a row that die before their first task, per worker asked for, and the
pool gives up."""


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
        self._name = name
        self._size = workers
        self._max_tasks = max_tasks_per_child
        self._max_bytes = max_bytes
        self._on_done = on_done
        self._launcher = Launcher(name, preload)
        self._arena = Arena(max_bytes)
        self._lock = threading.Lock()
        self._pending: deque[Task] = deque()
        self._placing: Task | None = None
        """Taken from the queue by the reactor, its payload being copied."""
        self._workers: dict[int, Worker] = {}
        """By participant number."""
        self._by_fd: dict[int, Worker] = {}
        """By bell and by pidfd."""
        self._deadlines: list[tuple[float, int, Task]] = []
        self._draining = False
        self._false_starts = 0
        self._broken: BaseException | None = None
        self._pid = os.getpid()
        self._epoll: select.epoll
        self._bell = -1
        self._rung = False
        self._thread: threading.Thread | None = None
        self.ledger = Ledger(workers)

    # -- for the pool, from any thread -------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._thread is not None and not self._draining

    def start(self) -> None:
        """Start zygote, workers and reactor; all or nothing."""
        self._launcher.start()
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        try:
            for _ in range(self._size):
                self._hire()
        except BaseException:
            self._release()
            raise
        self.ledger.start()
        self._thread = threading.Thread(
            target=self._react, name=f"penstock-pool-{self._name}", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Raise what keeps a task from being taken now."""
        if os.getpid() != self._pid:
            raise Misuse(
                f"pool {self._name!r} belongs to process {self._pid}; this one was forked from it",
                hint="make a pool in the child",
            )
        if self._broken is not None:
            raise self._broken
        if self._thread is None:
            raise Misuse(
                f"pool {self._name!r} has not been started",
                hint="use it inside `with pool:` or `async with pool:`",
            )
        if self._draining:
            raise Closed(
                f"pool {self._name!r} is shut down", hint="submit before leaving its block"
            )

    def submit(self, task: Task) -> None:
        with self._lock:
            self.check()
            self.ledger.submitted += 1
            if task.deadline is not None:
                heapq.heappush(self._deadlines, (task.deadline, task.number, task))
            first = not self._pending and self._placing is None
            self._pending.append(task)
            if first:
                self._feed()
            needs_reactor = task.worker is None and self._has_room()
            if needs_reactor or (task.deadline is not None and self._deadlines[0][2] is task):
                self._ring()

    def cancel(self, task: Task) -> bool:
        """Take a task back that has not begun."""
        with self._lock:
            if task.done():
                return task.cancelled()
            if not self._withdraw(task):
                return False
        return self._let_go(task)

    def end(self, task: Task, verdict: BaseException) -> None:
        """Take the task back, or, if it runs, end its worker and the task with `verdict`."""
        with self._lock:
            if task.done():
                return
            withdrawn = self._withdraw(task)
            if not withdrawn:
                self._condemn(task, verdict)
        if withdrawn:
            self._let_go(task)

    def stop(self, *, cancel: bool, kill: bool, wait: bool) -> None:
        """Take nothing new; end when all that was taken is done (or thrown away)."""
        with self._lock:
            thread = self._thread
            self._draining = True
            thrown = list(self._pending) if cancel or kill else []
            if thrown:
                self._pending.clear()
            if kill:
                gone = Closed(f"pool {self._name!r} was stopped before the task was done")
                for worker in self._workers.values():
                    for task in list(worker.tasks.values()):
                        if worker.port.recall(task.slot, task.number):
                            worker.take_back(task)
                            thrown.append(task)
                        else:
                            self._condemn(task, gone)
            if thread is not None:
                self._ring()
        for task in thrown:
            self._let_go(task)
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def kill_workers(self) -> None:
        """End every worker now; what they ran is lost, the pool goes on with new ones."""
        with self._lock:
            for worker in self._workers.values():
                self._doom(worker)

    def pids(self) -> list[int]:
        """Of zygote and workers."""
        with self._lock:
            zygote = [self._launcher.pid] if self._launcher.pid is not None else []
            return zygote + [worker.pid for worker in self._workers.values()]

    def levels(self) -> tuple[int, int, int, int, int]:
        """Workers, idle ones, tasks queued here, tasks laid with them, their busy nanoseconds."""
        with self._lock:
            queued = len(self._pending) + (self._placing is not None)
            laid = sum(len(worker.tasks) for worker in self._workers.values())
            idle = sum(not worker.tasks for worker in self._workers.values())
            busy = sum(worker.busy for worker in self._workers.values())
            return len(self._workers), idle, queued, laid, busy

    def arena_usage(self) -> dict[str, int]:
        return self._arena.usage()

    # -- with the lock held ------------------------------------------------------------------

    def _has_room(self) -> bool:
        return any(worker.room > 0 for worker in self._workers.values())

    def _least_laden(self) -> Worker | None:
        least = None
        for worker in self._workers.values():
            if worker.room > 0 and (least is None or len(worker.tasks) < len(least.tasks)):
                least = worker
        return least

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def _feed(self) -> None:
        """Lay tasks with workers while there is room and their payloads are placed or small."""
        while self._pending:
            task = self._pending[0]
            if task.cancelled():
                self._pending.popleft()
                continue
            worker = self._least_laden()
            if worker is None:
                return
            if task.parcel is None:
                if task.payload is None or task.payload.nbytes > _SMALL:
                    return
                task.parcel = self._arena.pack(*task.payload)
                task.payload = None
            if not self._lay(worker, task):
                return
            self._pending.popleft()

    def _lay(self, worker: Worker, task: Task) -> bool:
        try:
            laid = worker.lay(task)
        except Lost:
            self._doom(worker)
            return False
        if laid and self._max_tasks is not None and worker.sent >= self._max_tasks:
            worker.retiring = True
        return laid

    def _withdraw(self, task: Task) -> bool:
        worker = task.worker
        if worker is None:
            if task in self._pending:
                self._pending.remove(task)
            return True  # or it is being placed, and is dropped after that
        if not worker.port.recall(task.slot, task.number):
            return False
        worker.take_back(task)
        return True

    def _condemn(self, task: Task, verdict: BaseException) -> None:
        worker = task.worker
        if worker is not None and worker.port.condemn(task.slot, task.number):
            task.verdict = verdict
            self._doom(worker)

    def _doom(self, worker: Worker) -> None:
        # Not reaped yet, since it is in the table: pid and group name it and nothing else.
        worker.doomed = True
        try:
            os.killpg(worker.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            os.kill(worker.pid, signal.SIGKILL)  # not a group leader yet

    # -- without the lock --------------------------------------------------------------------

    def _let_go(self, task: Task) -> bool:
        """Make a withdrawn task a cancelled one."""
        if not task.withdraw():
            return False
        task.set_running_or_notify_cancel()
        self.ledger.cancelled += 1
        self._finished(task)
        return True

    def _settle(self, task: Task, error: BaseException | None, value: object = None) -> None:
        """Complete the future of a task that has left its worker."""
        if error is None:
            self.ledger.completed += 1
            task.set_result(value)
        else:
            self.ledger.failed += 1
            task.set_exception(error)
            # The exception's traceback would hold this frame, and the frame the exception.
            del error
        self._finished(task)

    def _finished(self, task: Task) -> None:
        task.payload = task.parcel = None
        self._on_done()

    # -- the reactor -------------------------------------------------------------------------

    def _react(self) -> None:
        try:
            while not self._is_over():
                for fd, _ in self._epoll.poll(self._patience()):
                    if fd == self._bell:
                        os.eventfd_read(self._bell)
                        self._rung = False
                    elif (worker := self._by_fd.get(fd)) is not None:
                        if fd == worker.pidfd:
                            self._bury(worker)
                        else:
                            self._collect(worker)
                self._expire()
                self._place()
                self._dismiss()
        finally:
            self._release()

    def _patience(self) -> float | None:
        with self._lock:
            if not self._deadlines:
                return None
            return max(0.0, self._deadlines[0][0] - time.monotonic())

    def _is_over(self) -> bool:
        with self._lock:
            return self._draining and not self._workers

    def _hire(self) -> None:
        """Start a worker and watch it."""
        taken = self._workers.keys()
        participant = next(number for number in range(1, 256) if number not in taken)
        if not self._launcher.is_alive:
            self._launcher.start()
        worker = Worker(self._launcher, self._arena, participant, self._max_bytes)
        worker.port.doze()
        with self._lock:
            self._workers[participant] = worker
            for fd in (worker.port.fileno(), worker.pidfd):
                self._by_fd[fd] = worker
                self._epoll.register(fd, select.EPOLLIN)

    def _collect(self, worker: Worker) -> None:
        """Take in what a worker has sent, until it is known to ring for the next message."""
        alive = worker.port.awake()
        try:
            while True:
                messages = worker.port.receive(Port.SLOTS)
                if messages:
                    self._take_in(worker, messages)
                elif worker.port.doze():
                    break
        except Lost:
            with self._lock:
                self._doom(worker)
            alive = False
        if not alive:
            # The pidfd tells the rest; an end that is closed would ring for ever.
            self._unwatch(worker.port.fileno())

    def _take_in(self, worker: Worker, messages: list[Any]) -> None:
        done = []
        with self._lock:
            for message in messages:
                task = worker.tasks.get(message[1])
                if task is None or task.number != message[2]:
                    raise Lost(f"worker {worker.pid} answered a task that it did not have")
                worker.take_back(task)
                worker.note(message[4])
                done.append((task, message))
            self._false_starts = 0
            self._feed()
            worker.port.settle()
        messages.clear()
        done.reverse()
        while done:
            task, message = done.pop()
            self._conclude(task, message)
            del task, message

    def _conclude(self, task: Task, message: Any) -> None:
        kind, _, _, started, elapsed, stream, buffers = message
        self.ledger.ran(started - task.submitted, elapsed)
        error: BaseException | None = None
        value = None
        try:
            if kind == Port.VALUE:
                value = load(stream, buffers)
            else:
                error = restore(stream, buffers)
        except Exception as failure:
            error = failure
            error.add_note(f"the result of {task.name} could not be unpickled")
        self._settle(task, error, value)

    def _bury(self, worker: Worker) -> None:
        """Make a death good: nothing finished is called lost, nothing else is lost."""
        self._unwatch(worker.port.fileno())
        self._unwatch(worker.pidfd)
        # What it had sent whole before it died is there to the last byte.
        self._collect(worker)
        with self._lock:
            del self._workers[worker.participant]
            begun = []
            for task in list(worker.tasks.values()):
                if worker.port.has_begun(task.slot, task.number):
                    begun.append(task)
                else:
                    worker.take_back(task)
                    self._pending.appendleft(task)
            self.ledger.busy += worker.busy
            expected = worker.retiring and not worker.tasks
        status = self._launcher.reap(worker.pid)
        self._arena.bury(worker.participant)
        worker.close()
        if not expected:
            self.ledger.restarts += 1
            if worker.completed == 0 and not begun:
                self._false_starts += 1
        for task in begun:
            error = task.verdict or lost(worker.pid, status, task.name, self._name)
            self.ledger.lost += task.verdict is None
            self._settle(task, error)
        self._replace(status)

    def _replace(self, status: int | None) -> None:
        """Have as many workers as are needed, unless they die as soon as they are born."""
        with self._lock:
            wanted = self._size
            if self._draining:
                wanted = min(wanted, len(self._pending))
        try:
            while len(self._workers) < wanted:
                if self._false_starts >= _FALSE_STARTS * self._size:
                    self._give_up(
                        EngineError(
                            f"the workers of pool {self._name!r} end as soon as they start, "
                            f"the last one with status {status}",
                            hint="their standard error says why",
                        )
                    )
                    return
                self._hire()
        except Exception as failure:
            self._give_up(failure)

    def _give_up(self, failure: Exception) -> None:
        with self._lock:
            self._broken = failure
            self._draining = True
            stranded = list(self._pending)
            self._pending.clear()
        for task in stranded:
            self._settle(task, failure)

    def _expire(self) -> None:
        """End the tasks whose time is up."""
        now = time.monotonic()
        late = []
        with self._lock:
            while self._deadlines and self._deadlines[0][0] <= now:
                _, _, task = heapq.heappop(self._deadlines)
                if task.done() or task.verdict is not None:
                    continue
                waited = (time.monotonic_ns() - task.submitted) / 1e9
                verdict = Expired(
                    f"{task.name} in pool {self._name!r} was not done {waited:.3f} s after it "
                    "was submitted",
                    hint="raise timeout=, or use more workers if it waited for one",
                )
                if self._withdraw(task):
                    late.append((task, verdict))
                else:
                    self._condemn(task, verdict)
        for task, verdict in late:
            if task.set_running_or_notify_cancel():
                self._settle(task, verdict)

    def _place(self) -> None:
        """Copy large payloads of tasks that a worker has room for, and lay them there."""
        while True:
            with self._lock:
                self._feed()
                if not self._pending or not self._has_room():
                    return
                task = self._pending[0]
                if task.payload is None:
                    return  # placed, but its worker's lane is full
                self._pending.popleft()
                self._placing = task
                payload = task.payload
            self.ledger.payload(payload)
            try:
                parcel = self._arena.pack(*payload)
            except Full as full:
                if self._set_aside(task, full):
                    return
                continue
            except Exception as failure:  # larger than the arena, or no memory
                self._placing = None
                self._settle_unless_cancelled(task, failure)
                continue
            self._return_placed(task, parcel)

    def _return_placed(self, task: Task, parcel: Parcel) -> None:
        with self._lock:
            task.parcel, task.payload = parcel, None
            self._placing = None
            if not task.cancelled():
                self._pending.appendleft(task)

    def _set_aside(self, task: Task, full: Full) -> bool:
        """Keep a task until room comes free. False: none ever will by itself."""
        with self._lock:
            self._placing = None
            under_way = any(worker.tasks for worker in self._workers.values())
            if under_way and not task.cancelled():
                self._pending.appendleft(task)
                return True
        self._settle_unless_cancelled(task, full)
        return False

    def _settle_unless_cancelled(self, task: Task, error: BaseException) -> None:
        if task.set_running_or_notify_cancel():
            self._settle(task, error)

    def _dismiss(self) -> None:
        """Send workers home that are not needed any more, and hire for those that retire."""
        hire = 0
        with self._lock:
            over = self._draining and not self._pending and self._placing is None
            for worker in self._workers.values():
                leaving = worker.retiring or over
                if leaving and not (worker.tasks or worker.doomed or worker.dismissed):
                    worker.retiring = worker.dismissed = True
                    worker.port.send(Port.STOP, 0, 0, None)
                    hire += not over
            hire = 0 if self._draining and not self._pending else hire
        for _ in range(hire):
            try:
                self._hire()
            except Exception as failure:
                self._give_up(failure)
                break

    def _unwatch(self, fd: int) -> None:
        with self._lock:
            if self._by_fd.pop(fd, None) is not None:
                self._epoll.unregister(fd)

    def _release(self) -> None:
        self._launcher.stop()
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        self._by_fd.clear()
        self._epoll.close()
        os.close(self._bell)
        self._bell = -1
        self.ledger.stop()
