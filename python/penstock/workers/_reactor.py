"""The thread that looks after a pool's queue and workers.

Large payloads are copied here (so that an event loop never stands still for one), results are
taken in, deadlines kept, deaths noticed and made good, workers hired and sent home. It sleeps
until a worker's bell, a worker's end, the pool's bell or a deadline.

A task's code can write anywhere in what its worker shares with the pool. What comes from there is
checked, and where a check fails the worker is killed; since such a task can also silence the
worker's bell, workers that have tasks are looked at once a second without being called.
"""

from __future__ import annotations

import logging
import select
import time
from typing import TYPE_CHECKING, Any

from penstock._native import Port
from penstock.errors import EngineError, Expired, Full, Lost
from penstock.shared import load

from ._outcome import restore
from ._traced import keep_spans
from ._workers import Worker
from .errors import lost

if TYPE_CHECKING:
    from ._engine import Engine
    from ._task import Task

_FALSE_STARTS = 3
"""So many workers in a row that die before they look for a task, per worker asked for, and the
pool gives up."""

_ZYGOTES = 5
"""So many zygotes in a row that die before they have started a worker, and the pool gives up."""

_MOST_PARTICIPANTS = 255
"""Besides the pool itself, in its arena."""

_ROUND = 1.0
"""Seconds between two looks at workers that are busy and silent, and what is granted to a task
that has ended by its deadline to deliver its result."""


class Reactor:
    """See the module's head."""

    def __init__(self, engine: Engine, bell: int) -> None:
        self._engine = engine
        self._bell = bell
        self._by_fd: dict[int, Worker] = {}
        """By bell and by pidfd."""
        self._false_starts = 0
        self._last_status: int | None = None
        self._is_short = False
        """A worker has died or was sent home since the last look at how many there are."""
        self._owed: list[Task] = []
        """Claimed for a worker that died, their futures not completed yet."""
        self._next_round = 0.0
        self._next_balance: int | None = None
        self._epoll = select.epoll()
        self._epoll.register(bell, select.EPOLLIN)

    def run(self) -> None:
        """Until the pool is drained and its workers are gone."""
        try:
            while not self._is_over():
                self._turn()
        except BaseException as failure:
            self._collapse(failure)
            raise
        finally:
            self.close()
            try:
                self._engine.release()
            finally:
                self._engine.ended.set()

    def close(self) -> None:
        self._epoll.close()
        self._by_fd.clear()

    def staff(self) -> bool:
        """Hire as many workers as are needed now; answers whether there were any."""
        engine = self._engine
        hired = False
        while True:
            with engine.lock:
                wanted = min(engine.size, len(engine.pending)) if engine.draining else engine.size
                serving = sum(not worker.dismissed for worker in engine.workers.values())
                taken = engine.workers.keys()
                vacant = (n for n in range(1, _MOST_PARTICIPANTS + 1) if n not in taken)
                participant = next(vacant, None)
            if serving >= wanted or participant is None:
                return hired
            self._hire(participant)
            hired = True

    # -- one turn ----------------------------------------------------------------------------

    def _turn(self) -> None:
        ready = self._epoll.poll(self._patience())
        # Looked up before anything is closed, since the number of a closed one is used again.
        workers = [(fd, self._by_fd.get(fd)) for fd, _ in ready]
        for fd, worker in workers:
            if fd == self._bell:
                self._engine.answer()
            elif worker is None or self._engine.workers.get(worker.participant) is not worker:
                continue
            elif fd == worker.pidfd:
                self._bury(worker)
            else:
                self._collect(worker)
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + _ROUND
            for worker in list(self._engine.workers.values()):
                if worker.tasks:
                    self._collect(worker)
        self._expire(now)
        while True:
            self._place()
            self._dismiss()
            if not (self._is_short and self._restaff()):
                return

    def _patience(self) -> float | None:
        engine = self._engine
        with engine.lock:
            ends = [self._next_round] if any(w.tasks for w in engine.workers.values()) else []
            deadline = engine.deadlines.next()
            if self._next_balance is not None:
                ends.append(self._next_balance / 1e9)
            if deadline is not None:
                # Not longer than the kernel can count.
                ends.append(min(deadline, time.monotonic() + 3600.0))
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _is_over(self) -> bool:
        with self._engine.lock:
            return self._engine.draining and not self._engine.workers

    # -- results -----------------------------------------------------------------------------

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
            alive = False
        if not alive:
            # Ended, or as good as that: one that has closed its end cannot be called any more.
            self._unwatch(worker.port.fileno())
            with self._engine.lock:
                worker.failed |= not worker.doomed
                self._engine.doom(worker)

    def _take_in(self, worker: Worker, messages: list[Any]) -> None:
        engine = self._engine
        done = []
        now = time.monotonic_ns()
        try:
            with engine.lock:
                for message in messages:
                    task = worker.tasks.get(message[1])
                    if task is None or task.number != message[2]:
                        raise Lost(f"worker {worker.pid} answered a task that it did not have")
                    worker.take_back(task)
                    engine.claim(task)
                    waited = min(max(0, message[3] - task.submitted), now - task.submitted)
                    elapsed = min(message[4], now - task.submitted)
                    worker.note(elapsed)
                    worker.heard = now
                    engine.ledger.ran(waited, elapsed)
                    done.append((task, message))
                self._false_starts = 0
                engine.feed()
                worker.port.settle()
        finally:
            messages.clear()
            done.reverse()
            while done:
                task, message = done.pop()
                self._conclude(task, message)
                del task, message

    def _conclude(self, task: Task, message: Any) -> None:
        kind, _, _, _, _, stream, buffers = message
        error: BaseException | None = None
        value = None
        try:
            if kind == Port.VALUE:
                value = load(stream, buffers)
                if task.is_traced:
                    value, spans = value
                    keep_spans(spans)
            else:
                error = restore(stream, buffers)
        except BaseException as failure:
            error = failure
            error.add_note(f"the result of {task.name} could not be unpickled")
        self._settle(task, error, value)

    def _settle(self, task: Task, error: BaseException | None, value: object = None) -> None:
        """Complete the future of a task that was claimed here."""
        ledger = self._engine.ledger
        ledger.completed += error is None
        ledger.failed += error is not None
        self._engine.forget(task)
        try:
            if error is None:
                task.set_result(value)
            else:
                task.set_exception(error)
        except BaseException:  # of a callback; those that are an Exception are logged by Future
            logging.getLogger("concurrent.futures").exception(
                "a callback of the future of %s raised", task.name
            )
        # The exception's traceback would hold this frame, and the frame the exception.
        del error

    # -- deaths ------------------------------------------------------------------------------

    def _bury(self, worker: Worker) -> None:
        """Make a death good: nothing finished is called lost, nothing else is lost."""
        engine = self._engine
        self._unwatch(worker.port.fileno())
        self._unwatch(worker.pidfd)
        # What it had sent whole before it died is there to the last byte.
        self._collect(worker)
        with engine.lock:
            del engine.workers[worker.participant]
            tasks = list(worker.tasks.values())
            # It takes them in turn, and has sent the result of one before it begins the next.
            begun = [task for task in tasks[:1] if worker.has_begun(task)]
            begun += [task for task in tasks[len(begun) :] if task.verdict is not None]
            self._owed = begun
            for task in begun:
                engine.claim(task)
            for task in reversed(tasks):
                if not task.claimed:
                    worker.take_back(task)
                    engine.pending.appendleft(task)
            engine.ledger.busy += worker.busy
            if not worker.is_done and not (worker.doomed and engine.draining):
                engine.ledger.restarts += 1
        status = None if engine.launcher is None else engine.launcher.reap(worker.pid)
        engine.arena.bury(worker.participant)
        false_start = not worker.port.met() and (worker.failed or not worker.doomed)
        worker.close()
        self._false_starts = self._false_starts + 1 if false_start else 0
        self._last_status = status
        self._is_short = True
        while begun:
            task = begun[-1]
            error = task.verdict or lost(worker.pid, status, task.name, engine.name)
            engine.ledger.lost += task.verdict is None
            begun.pop()
            self._settle(task, error)

    def _restaff(self) -> bool:
        """Have as many workers as are needed, unless they die as soon as they are born."""
        engine = self._engine
        self._is_short = hired = False
        failure: BaseException | None = None
        if self._false_starts >= _FALSE_STARTS * engine.size:
            failure = EngineError(
                f"its workers end as soon as they start, the last one with status "
                f"{self._last_status}",
                hint="their standard error says why",
            )
        elif engine.broken is None:
            try:
                hired = self.staff()
            except Exception as error:
                failure = error
        if failure is not None or engine.broken is not None:
            self._give_up(failure)
        return hired

    def _give_up(self, failure: BaseException | None) -> None:
        """Fail what no worker has; take nothing more."""
        engine = self._engine
        with engine.lock:
            engine.broken = engine.broken or failure
            engine.draining = True
            stranded = [task for task in engine.pending if not task.claimed]
            engine.pending.clear()
            for task in stranded:
                engine.claim(task)
        for task in stranded:
            self._settle(task, engine.breakage())

    def _collapse(self, failure: BaseException) -> None:
        """The reactor itself has failed: nobody may be left waiting."""
        engine = self._engine
        self._give_up(failure)
        with engine.lock:
            placing = [engine.placing] if engine.placing is not None else []
            laid = [task for worker in engine.workers.values() for task in worker.tasks.values()]
            stranded = [task for task in [*placing, *laid] if not task.claimed]
            for task in stranded:
                engine.claim(task)
            stranded += self._owed
            for worker in engine.workers.values():
                worker.tasks.clear()
                engine.doom(worker)
        for task in stranded:
            self._settle(task, engine.breakage())

    # -- deadlines ---------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        """End the tasks whose time is up."""
        engine = self._engine
        late = []
        with engine.lock:
            for task in engine.deadlines.due(now):
                if task.verdict is not None:
                    continue
                waited = (time.monotonic_ns() - task.submitted) / 1e9
                verdict = Expired(
                    f"{task.name} in pool {engine.name!r} was not done {waited:.3f} s after it "
                    "was submitted",
                    hint="raise timeout=, or use more workers if it waited for one",
                )
                if engine.withdraw(task):
                    late.append((task, verdict))
                elif engine.condemn(task, verdict):
                    pass
                elif task.overdue and task.worker is not None:
                    task.verdict = verdict
                    engine.doom(task.worker)
                else:
                    task.overdue = True
                    engine.deadlines.add(task, now + _ROUND)
        for task, verdict in late:
            self._settle(task, verdict)

    # -- payloads ----------------------------------------------------------------------------

    def _place(self) -> None:
        """Copy large payloads of tasks that a worker has room for, and lay them there."""
        engine = self._engine
        while True:
            with engine.lock:
                engine.feed()
                self._next_balance = engine.balance()
                if not engine.pending or not engine.has_room():
                    return
                task = engine.pending[0]
                payload = task.payload
                if payload is None:
                    return  # placed, but its worker's lane is full
                engine.pending.popleft()
                engine.placing = task
            engine.ledger.payload(payload)
            try:
                parcel = engine.arena.pack(*payload)
            except Full as full:
                if self._set_aside(task, full):
                    return
                continue
            except Exception as failure:  # larger than the arena, or no memory
                self._reject(task, failure)
                continue
            finally:
                del payload
            with engine.lock:
                engine.placing = None
                if not task.claimed:
                    task.parcel, task.payload = parcel, None
                    engine.pending.appendleft(task)
            del parcel

    def _set_aside(self, task: Task, full: Full) -> bool:
        """Keep a task until room comes free. False: none ever will by itself."""
        engine = self._engine
        with engine.lock:
            under_way = any(worker.tasks for worker in engine.workers.values())
            if under_way and not task.claimed:
                engine.placing = None
                engine.pending.appendleft(task)
                return True
        self._reject(task, full)
        return False

    def _reject(self, task: Task, error: BaseException) -> None:
        engine = self._engine
        with engine.lock:
            engine.placing = None
            if task.claimed:
                return
            engine.claim(task)
        self._settle(task, error)

    # -- workers -----------------------------------------------------------------------------

    def _hire(self, participant: int) -> None:
        """Start a worker and watch it."""
        engine = self._engine
        worker = self._start_worker(participant)
        worker.port.doze()
        with engine.lock:
            engine.workers[participant] = worker
        for fd in (worker.port.fileno(), worker.pidfd):
            self._by_fd[fd] = worker
            self._epoll.register(fd, select.EPOLLIN)

    def _start_worker(self, participant: int) -> Worker:
        engine = self._engine
        launcher = engine.launcher
        assert launcher is not None
        for left in reversed(range(_ZYGOTES)):
            try:
                if not launcher.is_alive:
                    launcher.start()
                return Worker(launcher, engine.arena, participant, engine.max_bytes)
            except EngineError:
                if launcher.is_alive or not left:
                    raise
                # The zygote had died unnoticed, or dies as we speak.
        raise AssertionError("the last try returns or raises")

    def _dismiss(self) -> None:
        """Send workers home that are not needed any more."""
        engine = self._engine
        with engine.lock:
            over = engine.draining and not engine.pending and engine.placing is None
            for worker in engine.workers.values():
                leaving = worker.retiring or over
                if leaving and not (worker.tasks or worker.doomed or worker.dismissed):
                    worker.retiring = True
                    self._is_short = True
                    try:
                        worker.dismiss()
                    except Lost:
                        engine.doom(worker)

    def _unwatch(self, fd: int) -> None:
        if self._by_fd.pop(fd, None) is not None:
            self._epoll.unregister(fd)
