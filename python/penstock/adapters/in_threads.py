"""`to_async`: a plain function that blocks, as an async one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

import anyio

from penstock._loops import current_hub
from penstock.errors import Misuse
from penstock.resilience.errors import TooManyAbandoned
from penstock.resilience.form import form_of, name_of
from penstock.resilience.threads import hand_out

from .contexts import Carried
from .events import count
from .home import current_home
from .lent import Loan
from .tokens import Token

if TYPE_CHECKING:
    from anyio import CapacityLimiter

__all__ = ("to_async",)

P = ParamSpec("P")
T = TypeVar("T")

AtCancel = Literal["wait", "abandon"]


@overload
def to_async(
    fn: Callable[P, T],
    /,
    *,
    limiter: CapacityLimiter | None = None,
    cancel: AtCancel = "wait",
    max_abandoned: int = 16,
) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def to_async(
    fn: None = None,
    /,
    *,
    limiter: CapacityLimiter | None = None,
    cancel: AtCancel = "wait",
    max_abandoned: int = 16,
) -> Callable[[Callable[P, T]], Callable[P, Coroutine[Any, Any, T]]]: ...
def to_async(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    limiter: CapacityLimiter | None = None,
    cancel: AtCancel = "wait",
    max_abandoned: int = 16,
) -> Any:
    """An async function that calls a blocking one in a thread; as a decorator or around it.

    For calls that wait: a driver, a file, a legacy client. Work of the CPU belongs into a
    `WorkerPool`, which the global lock does not hold up.

    The thread has the caller's context variables, and those that it sets are set for the caller
    afterwards. What `to_sync` made, called in there, runs on this loop.

    Nobody can stop a thread. With `cancel="wait"` a cancelled caller waits until it is done, and
    what the thread awaits through `to_sync` is cancelled as well; with "abandon" the caller goes at
    once and the thread goes on alone, its result unseen: counted as `abandoned`, and with more than
    `max_abandoned` of them under way the next call raises `TooManyAbandoned`.

    Args:
        fn: a plain function.
        limiter: how many threads run at a time; by default anyio's for the loop, of 40, which it
            shares with everything that calls `anyio.to_thread`. A thread that waits in `to_sync` is
            not counted, so that what it waits for finds room; when it goes on while all tokens
            are taken, it is one more. Where that must not be, put a `Bulkhead` around the call.
        cancel: "wait" or "abandon".
        max_abandoned: threads.

    Raises Misuse for what is no plain function, and for options out of range. On asyncio, uvloop
    and trio. Threads are kept warm for ten seconds. Source: anyio's `to_thread`, asgiref.

    Example:
        >>> import anyio, threading
        >>> anyio.run(to_async(threading.current_thread)) is threading.main_thread()
        False

    """
    if fn is None:
        return partial(to_async, limiter=limiter, cancel=cancel, max_abandoned=max_abandoned)
    if not callable(fn):
        raise Misuse(f"to_async: {fn!r} is no function")
    name = name_of(fn)
    if form_of(fn) != "plain":
        raise Misuse(
            f"to_async: {name} is an {form_of(fn)} function".replace("an gen", "a gen"),
            hint="await it, or iterate over it, as it is; threads are for functions that block",
        )
    if cancel not in {"wait", "abandon"}:
        raise Misuse(f"to_async: cancel={cancel!r} is unknown", hint="wait, or abandon")
    if isinstance(max_abandoned, bool) or not isinstance(max_abandoned, int) or max_abandoned < 1:
        raise Misuse(
            f"to_async: max_abandoned={max_abandoned!r}", hint="a number of threads, from 1"
        )
    if limiter is not None and not isinstance(limiter, anyio.CapacityLimiter):
        raise Misuse(f"to_async: limiter={limiter!r}", hint="an anyio.CapacityLimiter")
    threads = _Threads(name, cancel, max_abandoned)

    @wraps(fn)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        async with Token(limiter or anyio.to_thread.current_default_thread_limiter()) as token:
            call = partial(fn, *args, **kwargs) if args or kwargs else fn
            return await threads.run(call, token)

    return awaited


class _Threads:
    """The threads lent to one function."""

    def __init__(self, name: str, cancel: AtCancel, max_abandoned: int) -> None:
        self._name = name
        self._cancel = cancel
        self._max_abandoned = max_abandoned
        self._abandoned: set[Loan] = set()

    async def run(self, call: Callable[[], Any], token: Token) -> Any:
        if len(self._abandoned) >= self._max_abandoned:
            raise TooManyAbandoned(self._name)
        carried = Carried()
        place = current_hub().place()
        home = current_home()
        assert home is not None
        loan: Loan

        def ended() -> None:
            self._abandoned.discard(loan)

        loan = Loan(partial(carried.context.run, call), home, token, place, ended)
        hand_out(loan)
        try:
            await place.wait()
        except BaseException:
            loan.cancel()
            if self._cancel == "abandon":
                self._abandoned.add(loan)
                if loan.abandon():
                    count(self._name, "abandoned")
                else:
                    self._abandoned.discard(loan)
            else:
                await _outlast(loan)
            raise
        carried.bring_back()
        return loan.result()


async def _outlast(loan: Loan) -> None:
    """Waits for the end, whatever cancellations come meanwhile: one has come already."""
    with anyio.CancelScope(shield=True):
        # A place whose wait was cancelled is used up.
        while loan.wakes(place := current_hub().place()):
            with suppress(anyio.get_cancelled_exc_class()):
                await place.wait()
