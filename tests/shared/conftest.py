"""What the tests of queues between processes share: children that end, waits without sleeping."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import pytest

from penstock import SharedQueue
from tests.loops import LOOPS
from tests.workers.traces import traces

PATIENCE = 30.0
"""Seconds: a ceiling against hangs."""


def named(word: str) -> str:
    """A name that no other run of the tests on this machine has."""
    return f"{word}-{os.getpid()}"


def until(condition: Callable[[], object]) -> None:
    """Yields the processor until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.001)


class Start(Protocol):
    def __call__(self, function: Callable[..., Any], *arguments: Any) -> BaseProcess: ...


def ended(process: BaseProcess) -> int | None:
    """Waits for the end of a child; its exit code."""
    process.join(PATIENCE)
    assert process.exitcode is not None, f"{process.name} hangs"
    return process.exitcode


def stop(process: BaseProcess) -> None:
    """Stops a child, all of its threads."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.fixture(params=["fork", "spawn"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts functions in children, by either method; none may be left behind."""
    yield from _starter(request.param)


@pytest.fixture
def fork() -> Iterator[Start]:
    """As `start`, forked."""
    yield from _starter("fork")


@pytest.fixture
def spawn() -> Iterator[Start]:
    """As `start`, spawned."""
    yield from _starter("spawn")


def _starter(method: str) -> Iterator[Start]:
    context = multiprocessing.get_context(method)
    started: list[BaseProcess] = []

    def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
        process = context.Process(target=function, args=arguments)
        with warnings.catch_warnings():
            # Python 3.12 and later warn of forks beside threads, which is what is tested here.
            warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
            process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGCONT)
            process.kill()
        process.join(PATIENCE)
        process.close()
    started.clear()  # what they were given goes with the test


class Thread(threading.Thread):
    """Runs a function; `outcome()` returns or raises what it did."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        super().__init__(daemon=True)
        self.function, self.arguments = function, arguments
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.function(*self.arguments)
        except BaseException as error:
            self.error = error

    def outcome(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), f"{self.function} hangs"
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def thread() -> Iterator[Callable[..., Thread]]:
    """Starts functions in threads; none may be left behind."""
    started: list[Thread] = []

    def start(function: Callable[..., Any], *arguments: Any) -> Thread:
        thread = Thread(function, *arguments)
        thread.start()
        started.append(thread)
        return thread

    yield start
    for thread in started:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.function} hangs"
    started.clear()


@pytest.fixture
def parked() -> Callable[..., Awaitable[None]]:
    """Lets the loop turn until somebody waits on that side, in so many processes."""

    async def parked(queue: SharedQueue[Any], getters: int = 0, putters: int = 0) -> None:
        with anyio.fail_after(PATIENCE):
            while _waiting(queue) != (getters, putters):
                await anyio.lowlevel.checkpoint()

    return parked


@pytest.fixture
def blocked() -> Callable[..., None]:
    """Yields the processor until somebody waits on that side, in so many processes."""

    def blocked(queue: SharedQueue[Any], getters: int = 0, putters: int = 0) -> None:
        until(lambda: _waiting(queue) == (getters, putters))

    return blocked


def _waiting(queue: SharedQueue[Any]) -> tuple[int, int]:
    figures = queue.statistics()
    return figures.waiting_getters, figures.waiting_putters


@pytest.fixture(scope="session")
def others_traces() -> None:
    """What other libraries make once in a process, and for good."""
    resource_tracker.ensure_running()
    for backend, options in LOOPS.values():
        anyio.run(anyio.lowlevel.checkpoint, backend=backend, backend_options=options)


@pytest.fixture
def clean(others_traces: None) -> Iterator[None]:
    """Nothing is left of the test: descriptors, threads, children, memory, names."""
    before = traces()
    yield

    def left() -> dict[str, set[str]]:
        return {kind: now - before[kind] for kind, now in traces().items() if now - before[kind]}

    # Native threads end by themselves, a moment after they were told to.
    end = time.monotonic() + PATIENCE
    while left() and time.monotonic() < end:
        time.sleep(0.002)
    assert not left()
