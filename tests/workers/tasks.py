"""What the tests have workers do. Workers import it by name, so it holds no test."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def identity(value: Any) -> Any:
    return value


def add(left: Any, right: Any = 1) -> Any:
    return left + right


def join(*parts: str, by: str = "-") -> str:
    return by.join(parts)


def double(value: int) -> int:
    return 2 * value


def odd_only(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} is even")
    return value


def where() -> int:
    return os.getpid()


def where_of(_: Any) -> int:
    return os.getpid()


def imported(module: str) -> bool:
    return module in sys.modules


# -- steps that a test controls through named pipes; see `Step` in conftest


def hold(started: str, release: str, value: Any = None) -> Any:
    """Say that it has begun, wait until it may end, return `value`."""
    # Opened before the report: what is written before anybody reads is lost with the last opener.
    pipe = os.open(release, os.O_RDWR)
    try:
        begin(started)
        os.read(pipe, 1)
    finally:
        os.close(pipe)
    return value


def begin(started: str) -> None:
    with open(started, "wb", buffering=0) as pipe:
        pipe.write(b"%10d" % os.getpid())


def record(path: str, value: Any) -> Any:
    """Leave a line that shows it ran."""
    with open(path, "a") as file:
        file.write(f"{value}\n")
    return value


def hold_interpreter(started: str) -> None:
    """Stay in C code with the interpreter held, for far longer than any test."""
    begin(started)
    pow(3, 10**10)


def with_grandchild(started: str, release: str) -> None:
    """Start a process of its own, say both pids, and wait."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    with open(started, "wb", buffering=0) as pipe:
        pipe.write(b"%10d" % child.pid)
    hold(started, release)


# -- ends of a worker


def exit_process(status: int) -> None:
    os._exit(status)


def kill_self(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    threading.Event().wait()


def crash() -> None:
    """Read address zero."""
    ctypes.string_at(0)


def close_descriptors() -> str:
    os.closerange(3, 4096)
    return "still here"


def fork_and_return() -> int:
    """Let a forked child return from the task, too."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return pid


# -- arrays


def describe_array(array: Any) -> tuple[Any, ...]:
    return (
        array.shape,
        array.dtype.descr if array.dtype.names else array.dtype.str,
        array.flags.c_contiguous,
        array.flags.f_contiguous,
        array.flags.writeable,
        array.tobytes(),
    )


def total(array: Any) -> float:
    return float(np.asarray(array).sum())


def ones(count: int) -> Any:
    return np.ones(count)


def write_to(array: Any) -> None:
    array[0] = 1


def lengths(buffers: list[Any]) -> list[int]:
    return [len(buffer) for buffer in buffers]


def rewrap(buffers: list[Any]) -> list[pickle.PickleBuffer]:
    """A memoryview does not pickle by itself."""
    return [pickle.PickleBuffer(buffer) for buffer in buffers]


_kept: list[Any] = []


def keep(value: Any) -> int:
    """Hold on to an argument after the task."""
    _kept.append(value)
    return len(_kept)


def drop() -> int:
    count = len(_kept)
    _kept.clear()
    return count


# -- damage


def mappings(name: str) -> list[tuple[int, int, str]]:
    """Address, length and rights of this process's mappings of that name."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if name in line:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            found.append((start, end - start, rights))
    return found


def scribble(name: str, byte: int, offset: int, length: int) -> int:
    """Overwrite part of every writable mapping of that name; answers how many."""
    written = 0
    for start, size, rights in mappings(name):
        if "w" in rights and offset < size:
            ctypes.memset(start + offset, byte, min(length, size - offset))
            written += 1
    return written


# -- values that are awkward to carry


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("this one stays at home")


def return_unpicklable() -> Unpicklable:
    return Unpicklable()


class Rebuilt:
    """Unpickling it calls a function of this module, where it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def exit_when_rebuilt() -> None:
    raise SystemExit(3)


def fail_when_rebuilt() -> None:
    raise LookupError("cannot be rebuilt")


pausing, resume = threading.Event(), threading.Event()


def pause_when_rebuilt() -> str:
    pausing.set()
    assert resume.wait(30)
    return "taken in"


def return_rebuilt(name: str, *arguments: Any) -> Rebuilt:
    return Rebuilt(globals()[name], *arguments)


class Awkward(Exception):
    """Its arguments do not survive pickling."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")


class Stubborn(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not over this wire")


def raise_this(error: BaseException) -> None:
    raise error


def raise_awkward() -> None:
    raise Awkward("salt", "pepper")


def raise_stubborn() -> None:
    raise Stubborn("I stay")


def raise_chained() -> None:
    try:
        raise_here()
    except ZeroDivisionError as error:
        raise ValueError("the sum does not add up") from error


def raise_here() -> float:
    return 1 / 0
