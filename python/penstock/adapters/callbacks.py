"""`callbackify`: an async function for code that knows callbacks only."""

from __future__ import annotations

import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, Literal, ParamSpec, TypeVar, TypeVarTuple, cast, overload

from penstock.errors import Lost, Misuse
from penstock.resilience.form import form_of, name_of

from .home import Home, current_home
from .lent import lending_home

__all__ = ("callbackify",)

_log = logging.getLogger("penstock.adapters")

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")


@overload
def callbackify(
    fn: Callable[[*Ts], Awaitable[T]], /, *, style: Literal["error_first"] = "error_first"
) -> Callable[[*Ts, Callable[[Exception | None, T | None], object]], None]: ...
@overload
def callbackify(
    fn: Callable[[*Ts], Awaitable[T]], /, *, style: Literal["success_error"]
) -> Callable[[*Ts, Callable[[T], object], Callable[[Exception], object]], None]: ...
def callbackify(
    fn: Callable[..., Awaitable[Any]],
    /,
    *,
    style: Literal["error_first", "success_error"] = "error_first",
) -> Any:
    """A function that takes a callback last, of an async one: `fn(key)` becomes `g(key, done)`.

    For old code that has to call new. Where you can, await `fn` instead.

    Called on an event loop, it runs `fn` as a task of that loop; called in another thread, on the
    loop it was made on, or the one that lent the thread by `to_async`. It returns at once. The
    callback is called on the loop's thread, once: with `None` and the result, or with the
    exception and `None`; with "success_error" there are two, for the result and the exception. The
    task goes with its loop: if it is cancelled, the callback is given `Lost`.

    What the callback itself raises is no failure of `fn`, and never answered by a second call: it
    goes to asyncio's exception handler, and on trio to the log.

    Keywords are handed on. Raises Misuse for what is not async, for a callback that is none, and
    where there is no loop to run on; Closed if that loop is closed. Source: Node's
    `util.callbackify`.

    Example:
        >>> import asyncio
        >>> async def double(n):
        ...     return 2 * n
        >>> async def main():
        ...     answered = asyncio.Event()
        ...     callbackify(double)(21, lambda error, value: (print(value), answered.set()))
        ...     await answered.wait()
        >>> asyncio.run(main())
        42

    """
    if not callable(fn) or form_of(fn) not in {"async", "plain"}:
        raise Misuse(f"callbackify: {fn!r} is no async function")
    if form_of(fn) == "plain" and not _may_await(fn):
        raise Misuse(
            f"callbackify: {name_of(fn)} is not async",
            hint="a plain function can call the callback by itself",
        )
    if style not in {"error_first", "success_error"}:
        raise Misuse(
            f"callbackify: style={style!r} is unknown", hint="error_first or success_error"
        )
    name = name_of(fn)
    number = 1 if style == "error_first" else 2
    owner = current_home()

    @wraps(fn, updated=())
    def callbackified(*args: Any, **kwargs: Any) -> None:
        callbacks = args[-number:]
        if len(callbacks) < number or not all(map(callable, callbacks)):
            raise Misuse(
                f"{name}: the last of its arguments {'is' if number == 1 else 'are'} to be "
                f"{'a callback' if number == 1 else 'callbacks'}, not {callbacks!r}"
            )
        home = _where(name, owner)
        context = contextvars.copy_context()
        call = partial(fn, *args[:-number], **kwargs)
        answer = _Answer(name, call, _teller(style, callbacks))

        def spawn() -> None:
            home.spawn(answer.run, context, answer.ended)

        if home.is_here:
            spawn()
        else:
            home.post(spawn)

    del callbackified.__wrapped__
    return callbackified


_Tell = Callable[[Exception | None, Any], None]


def _teller(style: str, callbacks: tuple[Callable[..., object], ...]) -> _Tell:
    if style == "error_first":
        return cast(_Tell, callbacks[0])
    succeeded, failed = callbacks

    def tell(error: Exception | None, value: Any) -> None:
        if error is None:
            succeeded(value)
        else:
            failed(error)

    return tell


class _Answer:
    """One call, and the one answer that its callback is given."""

    def __init__(self, name: str, call: Callable[[], Awaitable[Any]], tell: _Tell) -> None:
        self._name = name
        self._call = call
        self._tell: _Tell | None = tell

    async def run(self) -> None:
        try:
            value = await self._call()
        except Exception as error:
            self._give(error, None)
        else:
            self._give(None, value)

    def ended(self) -> None:
        """The task is over; if it was cancelled, also before it began, there is no answer yet."""
        if self._tell is not None:
            hint = "its event loop ended, or somebody cancelled the task"
            self._give(Lost(f"{self._name} was cancelled before its end", hint=hint), None)

    def _give(self, error: Exception | None, value: Any) -> None:
        tell, self._tell = self._tell, None
        assert tell is not None
        try:
            tell(error, value)
        except Exception as fault:
            _report(self._name, fault)


def _report(name: str, fault: Exception) -> None:
    """The callback itself failed: whoever handles the loop's errors is told, or the log is."""
    asyncio: Any = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - may be None
    if loop is None:
        _log.error("the callback of %s failed", name, exc_info=fault)
    else:
        told = {"message": f"the callback of {name} failed", "exception": fault}
        loop.call_exception_handler(told)


def _where(name: str, owner: Home | None) -> Home:
    home = current_home() or lending_home() or owner
    if home is None:
        raise Misuse(
            f"{name} has no event loop to run on",
            hint="call it on the loop, or make it there: callbackify(fn) remembers where it was "
            "made",
        )
    return home


def _may_await(fn: Callable[..., Any]) -> bool:
    """Whether a function that is not declared async may return an awaitable: what we cannot see."""
    return not hasattr(fn, "__code__") or hasattr(fn, "__wrapped__")
