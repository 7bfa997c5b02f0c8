"""A thread lent to one call of a plain function, by the loop that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from penstock._loops import Place

from .home import Home
from .tokens import Token

__all__ = ("Loan", "current_loan", "lending_home")


class Loan:
    """One call on its way through a thread, and what it has under way on the loop."""

    __slots__ = (
        "_call",
        "_cancels",
        "_ended",
        "_error",
        "_lock",
        "_place",
        "_value",
        "home",
        "is_abandoned",
        "is_cancelled",
        "is_done",
        "token",
    )

    def __init__(
        self,
        call: Callable[[], Any],
        home: Home,
        token: Token,
        place: Place,
        ended: Callable[[], object],
    ) -> None:
        self._call: Callable[[], Any] | None = call
        self._place = place
        self._ended = ended
        self._lock = threading.Lock()
        self._cancels: Callable[[], object] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self.home = home
        self.token = token
        self.is_done = False
        self.is_cancelled = False
        self.is_abandoned = False

    def run(self) -> None:
        """Runs in the thread; never raises."""
        call, self._call = self._call, None
        assert call is not None
        value: Any = None
        error: BaseException | None = None
        before = getattr(_thread, "loan", None)
        _thread.loan = self
        try:
            value = call()
        except BaseException as raised:
            error = raised
        finally:
            _thread.loan = before
        del call
        with self._lock:
            if not self.is_abandoned:
                self._value, self._error = value, error
            self.is_done = True
            place = self._place
        self._ended()
        place.wake()

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # the traceback holds this frame

    def cancel(self) -> None:
        """The task that waits is cancelled: so is what the thread waits for on the loop."""
        with self._lock:
            self.is_cancelled = True
            cancel = self._cancels
        if cancel is not None:
            cancel()

    def wakes(self, place: Place) -> bool:
        """Whether it will wake this place, and no other, at its end; False if that has come."""
        with self._lock:
            self._place = place
            return not self.is_done

    def abandon(self) -> bool:
        """Gives up the result; False if it is there already."""
        with self._lock:
            if self.is_done:
                return False
            self.is_abandoned = True
        return True

    def at_cancel(self, cancel: Callable[[], object] | None) -> bool:
        """What to call at a cancellation from here on; True if it has come already."""
        with self._lock:
            self._cancels = cancel
            return self.is_cancelled


class _Thread(threading.local):
    loan: Loan | None = None


_thread = _Thread()


def current_loan() -> Loan | None:
    """The call that this thread is lent to."""
    return _thread.loan


def lending_home() -> Home | None:
    """The loop that lent this thread."""
    loan = _thread.loan
    return None if loan is None else loan.home
