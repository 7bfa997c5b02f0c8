"""Threads that are lent to blocking calls, and stay warm for the next.

Daemon threads: an attempt that never returns must not keep the interpreter from ending.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

from penstock import _clock as clock

__all__ = ("Errand", "Runs", "hand_out")

IDLE_SECONDS = 10.0
"""After so long without work a thread ends."""


class Runs(Protocol):
    """What a thread can be lent to."""

    def run(self) -> None:
        """Runs in the thread; never raises."""
        ...


class Errand:
    """One attempt on its way through a thread."""

    __slots__ = ("_abandoned", "_done", "_error", "_fn", "_lock", "_returned", "_value", "_wake")

    def __init__(self, fn: Callable[[], Any], returned: Callable[[], None]) -> None:
        self._fn: Callable[[], Any] | None = fn
        self._returned = returned
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._done = False
        self._abandoned = False
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Runs in the thread; never raises."""
        fn, self._fn = self._fn, None
        assert fn is not None
        value: Any = None
        error: BaseException | None = None
        try:
            value = fn()
        except BaseException as raised:
            error = raised
        with self._lock:
            self._done = True
            abandoned = self._abandoned
            if not abandoned:
                self._value, self._error = value, error
        self._wake.set()
        if abandoned:
            self._returned()

    def wait(self, until: float) -> bool:
        """Waits for the end, at most until that moment; whether it came."""
        virtual = clock.virtual
        if virtual is not None:
            virtual.call_at(until, self._wake.set)
            self._wake.wait()
        else:
            self._wake.wait(max(0.0, until - clock.now()))
        return self._done

    def abandon(self) -> bool:
        """Gives up the result; False if it is there already."""
        with self._lock:
            if self._done:
                return False
            self._abandoned = True
            return True

    def result(self) -> Any:
        """What the attempt returned; raises what it raised."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # the traceback holds this frame


class _Idle(threading.Thread):
    """A thread with a seat for one errand at a time."""

    def __init__(self) -> None:
        super().__init__(name="penstock blocking call", daemon=True)
        self.errand: Runs | None = None
        # Held but for the moment in which an errand has come: a semaphore of Python's own takes a
        # condition and a new lock for each.
        self.wake = threading.Lock()
        self.wake.acquire()

    def run(self) -> None:
        while True:
            errand, self.errand = self.errand, None
            if errand is None:
                return
            errand.run()
            del errand
            _idle.append(self)
            if not self.wake.acquire(timeout=IDLE_SECONDS):
                try:
                    _idle.remove(self)
                except ValueError:
                    # Somebody took it from the list meanwhile, and brings an errand.
                    self.wake.acquire()


_idle: list[_Idle] = []
os.register_at_fork(after_in_child=_idle.clear)  # they do not live there


def hand_out(errand: Runs) -> None:
    """Gives the errand to the thread that was idle last, or to a new one."""
    try:
        thread = _idle.pop()
    except IndexError:
        thread = _Idle()
        thread.errand = errand
        thread.start()
    else:
        thread.errand = errand
        thread.wake.release()
