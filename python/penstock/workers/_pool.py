"""The worker pool."""

from __future__ import annotations

import functools
import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, TypeVarTuple

import anyio.to_thread

from penstock._deadline import carried_bytes
from penstock._loops import current_hub
from penstock.errors import Closed, Expired, Full, Misuse
from penstock.shared import Payload, dump

from ._budget import default_bytes
from ._engine import Engine
from ._gate import Gate
from ._outcome import describe as describe_error
from ._outcome import restore
from ._results import Results
from ._statistics import PoolStatistics
from ._task import Task, describe, refuse_coroutine

R = TypeVar("R")
P = ParamSpec("P")
_Ts = TypeVarTuple("_Ts")

_NAMES = itertools.count(1)
_MOST_WORKERS = 200
_MOST_BYTES = 1 << 46
_LARGEST_CHUNK = 4096
_LONGEST = 1e9
"""Seconds; a timeout beyond it is none."""


class WorkerPool(Executor):
    """Runs functions in worker processes; a worker's death costs the task it ran and no other.

    A `concurrent.futures.Executor`, and async: large contiguous buffers (of numpy arrays, or any
    `pickle.PickleBuffer`) cross in shared memory, copied once on the way in and once on the way
    out; arguments arrive as read-only views, results as writable ones that live as long as
    something refers to them.

    Use it for work that holds the interpreter for longer than about 100 µs; below, the way there
    and back costs more than the work. Functions and their arguments must pickle.

    Args:
        workers: processes; by default as many as this process may use processors.
        max_pending: tasks taken and not done yet. Beyond, `run` and `imap` wait, `submit` blocks
            (on an event loop's thread it raises `Full` instead).
        max_tasks_per_child: tasks a worker runs before it is replaced; `None`: no end.
        preload: modules imported once, before the workers are forked, whose memory they share.
            They must not start threads. (Workers start with OPENBLAS_NUM_THREADS=1 and the like
            where the environment does not say otherwise.)
        max_bytes: bound of each arena in bytes: the pool's, for arguments, and each worker's, for
            results. By default half of the memory that this process may use; only what is
            touched counts.
        name: for messages and threads.

    Nothing runs before `with pool:` or `async with pool:`. Leaving the block waits for what was
    submitted; leaving it by cancellation, Ctrl-C or `SystemExit` ends the workers at once. May be
    used from any thread and any number of event loops (asyncio, uvloop, trio) at a time; not in a
    forked child. Linux only.

    Cost: about 0.1 s to start, 10 ms per worker; some 15 µs a task; memory of one interpreter a
    worker, less what `preload` shares.

    Example:
        >>> import math
        >>> with WorkerPool(workers=2) as pool:
        ...     pool.submit(math.factorial, 5).result()
        120

    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        max_pending: int = 1024,
        max_tasks_per_child: int | None = None,
        preload: Sequence[str] = (),
        max_bytes: int | None = None,
        name: str | None = None,
    ) -> None:
        if workers is None:
            workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
        _positive("workers", workers, _MOST_WORKERS)
        _positive("max_pending", max_pending)
        if max_tasks_per_child is not None:
            _positive("max_tasks_per_child", max_tasks_per_child)
        if max_bytes is None:
            max_bytes = default_bytes()
        _positive("max_bytes", max_bytes, _MOST_BYTES)
        if isinstance(preload, str):
            raise Misuse(
                f"preload={preload!r} is a string, not a sequence of module names",
                hint=f"preload=[{preload!r}]",
            )
        self.name = name or f"pool-{next(_NAMES)}"
        self.workers = workers
        self._gate = Gate(max_pending)
        self._numbers = itertools.count(1)
        self._engine = Engine(
            self.name,
            workers,
            max_tasks_per_child,
            max_bytes,
            list(preload),
            on_done=self._gate.leave,
        )
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        return f"<WorkerPool {self.name!r}: {self.workers} workers>"

    # -- lifetime ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._engine.is_foreign:
            return  # a forked child leaves the block; the pool is its parent's
        try:
            self._stop(kill=_is_abrupt(kind))
        except BaseException:  # Ctrl-C while the block waits for what was submitted
            self._stop(kill=True)
            raise

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._engine.is_foreign:
            return
        kill = _is_abrupt(kind)
        if not kill:
            try:
                await anyio.to_thread.run_sync(self._stop, abandon_on_cancel=True)
            except BaseException:
                kill = True
                raise
            finally:
                if kill:
                    await self._kill()
            return
        await self._kill()

    async def _kill(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(functools.partial(self._stop, kill=True))

    def _start(self) -> None:
        with self._starting:
            self._engine.start()

    def _stop(self, *, kill: bool = False) -> None:
        self._engine.stop(cancel=kill, kill=kill, wait=False)
        self._gate.open_for_all()
        self._engine.stop(cancel=kill, kill=kill, wait=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; as `Executor.shutdown`. Leaving the pool's block does the same."""
        self._engine.stop(cancel=cancel_futures, kill=False, wait=False)
        self._gate.open_for_all()
        self._engine.stop(cancel=cancel_futures, kill=False, wait=wait)

    def kill_workers(self) -> None:
        """End every worker with SIGKILL. What they ran is lost; the pool goes on with new ones."""
        self._engine.kill_workers()

    # -- calls -------------------------------------------------------------------------------

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `fn(*args, **kwargs)` run by a worker; as `Executor.submit`.

        Blocks while `max_pending` tasks are under way; on an event loop's thread raises `Full`
        instead (`await pool.run(...)` waits there). Raises `Misuse` at once if the call does not
        pickle. The future's `cancel` succeeds until a worker begins the task. Do not change
        large arguments before the task is done: they may be copied after `submit` has returned.

        Callbacks of the future run on the pool's own thread, so they must be quick and must not
        wait for another task. They may submit, and are let in beyond `max_pending`.
        """
        self._engine.check()
        if not self._gate.try_enter():
            if self._engine.is_reactor:
                self._gate.enter_over()
            elif _on_a_loop():
                raise Full(
                    f"pool {self.name!r} has max_pending tasks under way, and an event loop runs "
                    "in this thread",
                    hint="await pool.run(fn, ...), or raise max_pending=",
                )
            else:
                self._gate.enter()
        return self._launch(fn, args, kwargs, None)

    async def run(self, fn: Callable[[*_Ts], R], *args: *_Ts, timeout: float | None = None) -> R:
        """Run `fn(*args)` in a worker and return its result, or raise its exception.

        Keywords go through `functools.partial`. Waits while `max_pending` tasks are under way.

        Args:
            timeout: seconds from now, waiting for a worker included. When they are over the task
                ends with `Expired`; if it was running, its worker is ended with its children and
                replaced.

        Cancellation: a task that has not begun is taken back; one that runs is ended with its
        worker. Either way nothing runs on.

        Raises:
            WorkerLost: the worker died while it ran the task.
            Expired: see `timeout`.
            Misuse: the call does not pickle.

        """
        place = current_hub().place()
        task = await self._begin(fn, args, timeout)
        task.add_done_callback(lambda _: place.wake())
        try:
            await place.wait()
        except BaseException:
            self._engine.end(task, Closed(f"{task.name} was cancelled while it ran"))
            raise
        return task.result()  # type: ignore[no-any-return]

    def imap(
        self,
        fn: Callable[[Any], R],
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        ordered: bool = True,
        window: int | None = None,
    ) -> Results[R]:
        """The results of `fn` over `items`: `async for value in pool.imap(fn, items)`.

        Args:
            ordered: results in the order of the items; otherwise as they are done.
            window: calls under way at a time, and so the bound of what is in memory. By default
                four per worker, and for calls that take microseconds as many more as keep the
                workers busy for some milliseconds. Items are asked for one by one, as there is
                room.

        An exception of a call, or of pickling it, is raised where its result would have come, one
        of the source behind the results of the items it gave; iteration can go on. While an async
        source makes the pool wait for its next item, results are not handed out.

        """
        if window is not None:
            _positive("window", window)
        return Results(self, fn, items, ordered=ordered, window=window)

    def _window(self) -> int:
        """How many calls under way keep the workers busy, to judge by the last ones."""
        return 2 * max(self._engine.appetite(), 2 * self.workers)

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[R]:
        """As `Executor.map`; chunks are sized by themselves unless `chunksize` is given.

        Without it, and if every iterable has a length, each worker gets about four chunks;
        otherwise items go one by one. All calls are submitted before `map` returns, as the
        blocking of `submit` allows. Results before the one that raises are handed out, but the
        calls behind it in its chunk are not made.
        """
        if chunksize is not None:
            _positive("chunksize", chunksize)
        elif all(isinstance(iterable, Sized) for iterable in iterables):
            lengths = [len(each) for each in iterables if isinstance(each, Sized)]
            shortest = min(lengths, default=0)
            chunksize = min(_LARGEST_CHUNK, max(1, math.ceil(shortest / (4 * self.workers))))
        else:
            chunksize = 1
        end = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(calls, chunksize)), [])
        futures: deque[Future[Any]] = deque()
        try:
            futures.extend(self.submit(_call_each, fn, chunk) for chunk in chunks)
        except BaseException:
            _take_back(futures)
            raise
        return _results(futures, end)

    async def _begin(self, fn: Callable[..., Any], args: Any, timeout: float | None) -> Task:
        """Submit a call, waiting at the gate as long as must be."""
        if timeout is not None:
            is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
            if not (is_number and timeout > 0):
                raise Misuse(
                    f"timeout={timeout!r} is not a positive number of seconds",
                    hint="give seconds above 0, or None to wait for ever",
                )
        deadline = None if timeout is None or timeout > _LONGEST else time.monotonic() + timeout
        if not await self._enter(deadline):
            raise Expired(
                f"{describe(fn)} was not taken by pool {self.name!r} within {timeout} s: "
                "max_pending tasks were under way all the time",
                hint="raise timeout= or max_pending=, or use more workers",
            )
        return self._launch(fn, args, {}, deadline)

    async def _enter(self, deadline: float | None) -> bool:
        """Come through the gate, or raise what keeps a call from being taken at all."""
        self._engine.check()
        return self._gate.try_enter() or await self._gate.aenter(deadline)

    def _launch(
        self, fn: Callable[..., Any], args: Any, keywords: dict[str, Any], deadline: float | None
    ) -> Task:
        """Submit from inside the gate."""
        try:
            refuse_coroutine(fn)
            try:
                context = carried_bytes()
                carried = () if context is None else (context,)
                payload = dump((fn, args, keywords, *carried))
            except Exception as error:
                raise Misuse(
                    f"the call of {describe(fn)} does not pickle: {error}",
                    hint="give functions of a module and plain data; lambdas and nested functions "
                    "do not pickle",
                ) from error
            task = Task(self._engine, next(self._numbers), fn, payload)
            task.deadline = deadline
            task.is_traced = context is not None
            self._engine.submit(task)
        except BaseException:
            self._gate.leave()
            raise
        return task

    # -- figures -----------------------------------------------------------------------------

    def statistics(self) -> PoolStatistics:
        """Counts, utilisation, times and memory, since the start. Any thread; some 10 µs."""
        return self._engine.ledger.read(self._engine.levels(), self._engine.arena_usage())

    def pids(self) -> list[int]:
        """Process ids: the zygote's, then the workers'."""
        return self._engine.pids()


def _positive(name: str, value: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Misuse(
            f"{name}={value!r} is not a positive whole number", hint=f"give {name} of 1 or more"
        )
    if most is not None and value > most:
        raise Misuse(f"{name}={value} is more than {most}", hint=f"give {name} up to {most}")


def _on_a_loop() -> bool:
    try:
        current_hub()
    except Misuse:
        return False
    return True


def _is_abrupt(kind: type[BaseException] | None) -> bool:
    """Whether a block was left by something that asks to stop: cancellation, Ctrl-C, exit."""
    return kind is not None and not issubclass(kind, Exception)


def _call_each(
    fn: Callable[..., R], chunk: list[tuple[Any, ...]]
) -> tuple[list[R], Payload | None]:
    """In the worker: the results up to the first error, and that error."""
    results: list[R] = []
    try:
        for arguments in chunk:
            results.append(fn(*arguments))  # noqa: PERF401 (those before an error count)
    except BaseException as error:
        if not results:
            raise
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        return results, describe_error(error)
    return results, None


def _results(futures: deque[Future[Any]], end: float | None) -> Iterator[Any]:
    try:
        while futures:
            left = None if end is None else max(0.0, end - time.monotonic())
            # The future is dropped before its values are handed out, so they can go, too.
            results, error = futures.popleft().result(left)
            yield from results
            del results
            if error is not None:
                raise restore(*error)
    finally:
        _take_back(futures)


def _take_back(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.cancel()
