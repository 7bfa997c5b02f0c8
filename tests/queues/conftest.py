"""What the queue tests share: waiting for others without sleeping."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio.lowlevel
import pytest

from penstock import Queue


@pytest.fixture
def parked() -> Callable[..., Awaitable[None]]:
    """Lets the loop turn until so many getters and putters wait."""

    async def parked(queue: Queue[Any], getters: int = 0, putters: int = 0) -> None:
        while True:
            figures = queue.statistics()
            if (figures.waiting_getters, figures.waiting_putters) == (getters, putters):
                return
            await anyio.lowlevel.checkpoint()

    return parked


@pytest.fixture
def blocked() -> Callable[..., None]:
    """Yields the processor until so many getters and putters wait."""

    def blocked(queue: Queue[Any], getters: int = 0, putters: int = 0) -> None:
        while True:
            figures = queue.statistics()
            if (figures.waiting_getters, figures.waiting_putters) == (getters, putters):
                return
            time.sleep(0)

    return blocked


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
        self.join(30)
        assert not self.is_alive(), f"{self.function} hangs"
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def thread() -> Iterator[Callable[..., Thread]]:
    """Starts functions in threads; none may be left behind."""
    started = []

    def start(function: Callable[..., Any], *arguments: Any) -> Thread:
        thread = Thread(function, *arguments)
        thread.start()
        started.append(thread)
        return thread

    yield start
    for thread in started:
        thread.join(30)
        assert not thread.is_alive(), f"{thread.function} hangs"


@pytest.fixture
def loop_descriptors() -> Callable[[], int]:
    """How many eventfds the process has."""

    def count() -> int:
        found = 0
        for entry in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += "eventfd" in os.readlink(f"/proc/self/fd/{entry}")
        return found

    return count
