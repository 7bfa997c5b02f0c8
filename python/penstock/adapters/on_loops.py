"""`to_sync`: an async function for threads, which runs on the loop that owns it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from penstock.errors import Closed, Lost, Misuse
from penstock.resilience.form import form_of, name_of

from .contexts import Carried
from .home import Home, Task, current_home
from .lent import current_loan
from .tokens import Token

__all__ = ("to_sync",)

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_AFTER = 1.0  # seconds: how soon a thread sees that the loop it waits for is closed


def to_sync(fn: Callable[P, Awaitable[T]], /) -> Callable[P, T]:
    """A blocking function for threads, of an async one; as a decorator or around it.

    In a thread that `to_async` lent it runs on the loop that lent it, and otherwise on the loop
    where `to_sync` was called. The thread waits for the result. Context variables go with the call,
    and what it sets is set for the caller afterwards.

    Refused on the thread of an event loop, which would wait for itself: await `fn` there. If the
    task that lent the thread is cancelled, so is the call, and the cancellation goes up through the
    thread. A lent thread that waits here does not count for its limiter: what it waits for may lend
    threads as well, as deep as you like. Ctrl-C while waiting cancels the call, too. A call that is
    cancelled by others, or whose loop ends, raises `Lost`.

    In a program without a loop `asyncio.run(fn())` is all there is to it; a store's or a client's
    blocking view is its `.sync`.

    Raises Misuse for what is not async, on a loop's thread, and where no loop is known; Closed for
    a loop that is closed. Costs a wake of the loop and one of the thread. Source: asgiref's
    `async_to_sync`, anyio's `from_thread`.

    Example:
        >>> import anyio
        >>> async def double(n):
        ...     await anyio.sleep(0)
        ...     return 2 * n
        >>> async def main():
        ...     return await to_async(to_sync(double))(21)
        >>> anyio.run(main)
        42

    """
    if not callable(fn) or form_of(fn) in {"generator", "async generator"}:
        raise Misuse(f"to_sync: {fn!r} is no async function")
    name = name_of(fn)
    if form_of(fn) == "plain" and hasattr(fn, "__code__") and not hasattr(fn, "__wrapped__"):
        raise Misuse(f"to_sync: {name} is not async", hint="call it as it is")
    owner = current_home()

    @wraps(fn)
    def blocking(*args: P.args, **kwargs: P.kwargs) -> T:
        if current_home() is not None:
            raise Misuse(
                f"{name} was called to block on an event loop's thread: it would wait for itself",
                hint="await it there; to_sync is for threads",
            )
        loan = current_loan()
        home = owner if loan is None else loan.home
        if home is None:
            raise Misuse(
                f"{name} has no event loop to run on",
                hint="asyncio.run(fn()) makes one; or make it on the loop: to_sync remembers where",
            )
        crossing = _Crossing(name, home, None if loan is None else loan.token)
        carried = Carried()
        crossing.begin(partial(fn, *args, **kwargs), carried)
        if loan is not None and loan.at_cancel(crossing.cancel):
            crossing.cancel()
        try:
            crossing.wait()
        finally:
            if loan is not None:
                loan.at_cancel(None)
        carried.bring_back()
        value: T = crossing.result(passes_on=loan is not None and loan.is_cancelled)
        return value

    return blocking


class _Crossing:
    """One call on its way from a thread to a loop and back."""

    def __init__(self, name: str, home: Home, token: Token | None) -> None:
        self._name = name
        self._home = home
        self._token = token
        self._ended = threading.Event()
        self._task: Task | None = None  # of the loop's thread alone
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_settled = False

    def begin(self, call: Callable[[], Awaitable[Any]], carried: Carried) -> None:
        async def run() -> None:
            try:
                self._value = await call()
            except Exception as error:
                self._error = error
            except BaseException as error:
                self._error = error
                raise
            finally:
                self._is_settled = True

        def spawn() -> None:
            self._task = self._home.spawn(run, carried.context, self._end)
            if self._token is not None:
                self._token.give_back()

        self._home.post(spawn)

    def _end(self) -> None:
        if self._token is not None:
            self._token.take_again()
        self._ended.set()

    def cancel(self) -> None:
        """From any thread; what is posted to a loop is called in order, so there is a task."""

        def cancel() -> None:
            if self._task is not None:
                self._task.cancel()

        with suppress(Closed):  # and so the call is over
            self._home.post(cancel)

    def wait(self) -> None:
        """Until the call has ended; Ctrl-C cancels it, and waits for its end."""
        try:
            self._wait()
        except KeyboardInterrupt:
            self.cancel()
            self._wait()
            raise

    def _wait(self) -> None:
        while not self._ended.wait(_LOOK_AFTER):
            if self._home.is_closed:
                raise Closed(
                    f"{self._name}: its event loop closed meanwhile",
                    hint="end the threads that call a loop before the loop",
                )

    def result(self, *, passes_on: bool) -> Any:
        """What the call returned; raises what it raised."""
        error, self._error = self._error, None
        try:
            if error is None and self._is_settled:
                return self._value
            if isinstance(error, Exception) or (error is not None and passes_on):
                raise error
            raise Lost(
                f"{self._name} was cancelled on its loop",
                hint="the loop ended, or somebody cancelled the task; the thread was not cancelled",
            ) from error
        finally:
            del error  # the traceback holds this frame
