"""`c_call`: a C function that answers through a callback, awaited."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from penstock._loops import current_hub
from penstock.errors import Empty, Expired, Misuse

from .c_callback import CCallback, from_c_callback
from .c_copies import Copies
from .c_pointers import cast, function_type
from .calling_off import call_off
from .errors import CallbackWarning

__all__ = ("CALLBACK", "c_call")

T = TypeVar("T")


class _Callback:
    def __repr__(self) -> str:
        return "CALLBACK"


CALLBACK: Final = _Callback()
"""Stands among the arguments of `c_call` where the C function takes its callback."""

_REMEMBERED = 64

_answered: deque[CCallback[Any]] = deque(maxlen=_REMEMBERED)
"""Those that were called as they should be; a further call of one is a fault of the library."""
_seen_late = 0


@overload
async def c_call(
    fn: Callable[..., Any],
    /,
    *args: object,
    decode: Callable[..., T],
    declaration: object = None,
    copy: Copies | None = None,
    returns: float | None = None,
    timeout: float | None = None,
    check: Callable[[Any], object] | None = None,
    cancel: Callable[[Any], object] | None = None,
) -> T: ...
@overload
async def c_call(
    fn: Callable[..., Any],
    /,
    *args: object,
    decode: None = None,
    declaration: object = None,
    copy: Copies | None = None,
    returns: float | None = None,
    timeout: float | None = None,
    check: Callable[[Any], object] | None = None,
    cancel: Callable[[Any], object] | None = None,
) -> tuple[Any, ...]: ...
async def c_call(
    fn: Callable[..., Any],
    /,
    *args: object,
    decode: Callable[..., Any] | None = None,
    declaration: object = None,
    copy: Copies | None = None,
    returns: float | None = None,
    timeout: float | None = None,
    check: Callable[[Any], object] | None = None,
    cancel: Callable[[Any], object] | None = None,
) -> Any:
    """Call a C function that answers later, by one call of a callback, and await the answer.

    Use it where one request has one answer: `await c_call(lib.read, 7, CALLBACK, ffi.NULL)`.
    `fn` is called at once on this thread and must not block. The arguments of the callback are
    the result, as a tuple; the callback may come from any thread, also before `fn` returns. For a
    library that calls back many times use `from_c_callback`.

    The first call counts. Another one changes nothing; it is answered, and told of in a
    `CallbackWarning`: at once if it came before the result was taken, otherwise at the next
    `c_call`. What is called stays good for ever, so no handle has to be kept alive; it is used
    for another operation only after its call came, or when 4096 have been given up.

    Args:
        fn: the C function; `CALLBACK` stands among `args` where its callback belongs.
        decode: makes the result of the callback's arguments.
        declaration: the callback's, as in `from_c_callback`; a function of cffi says it by itself.
        copy: as in `from_c_callback`.
        returns: what the callback answers the library; 0 by default.
        timeout: seconds; beyond them `Expired` is raised. None waits for ever, and a library that
            loses a callback is never found out.
        check: called with what `fn` returned, and raises if nothing was started: then nothing is
            waited for.
        cancel: called with what `fn` returned if nobody waits any more: on cancellation, and
            beyond `timeout`. It runs on this thread and must not block.

    A cancellation ends the wait at once. What `fn` raises, and a `decode`, is raised as it is.
    Raises Misuse for arguments that cannot be, before `fn` is called. On asyncio, uvloop and trio;
    costs some 15 µs beside what the library takes.

    """
    _warn_of_late()
    name = _name_of(fn)
    if not callable(fn):
        raise Misuse(f"c_call: {fn!r} is not callable")
    for what, function in (("check", check), ("cancel", cancel)):
        if function is not None and not callable(function):
            raise Misuse(f"c_call: {what}={function!r} is not callable")
    places = [index for index, argument in enumerate(args) if argument is CALLBACK]
    if len(places) != 1:
        raise Misuse(
            f"c_call: {name} was given CALLBACK {len(places)} times",
            hint="put penstock.adapters.CALLBACK once, where the C function takes its callback",
        )
    if timeout is not None and not timeout >= 0:
        raise Misuse(f"c_call: timeout={timeout!r}", hint="give seconds, zero or more, or None")
    current_hub()  # outside of a loop nobody could wait: said before anything is started
    ctype = _type_of_parameter(fn, places[0])
    if declaration is None and ctype is None:
        raise Misuse(
            f"c_call: what {name} calls back is not known, as it is no function of cffi's",
            hint='say it: declaration="void(int status, void *user)"',
        )
    callback: CCallback[Any] = from_c_callback(
        ctype if declaration is None else declaration,
        decode=decode or _all,
        copy=copy,
        returns=returns,
        max_items=2,
        overflow="drop_newest",
        name=name,
    )
    with callback:
        return await _answer(callback, fn, args, places[0], ctype, timeout, check, cancel)


async def _answer(
    callback: CCallback[Any],
    fn: Callable[..., Any],
    args: tuple[object, ...],
    place: int,
    ctype: Any,
    timeout: float | None,
    check: Callable[[Any], object] | None,
    cancel: Callable[[Any], object] | None,
) -> Any:
    pointer = callback.pointer if ctype is None else cast(ctype, callback.pointer)
    started = fn(*args[:place], pointer, *args[place + 1 :])
    if check is not None:
        check(started)
    try:
        answer = await callback.aget(timeout)
    except Empty:
        _give_up(callback, started, cancel)
        raise Expired(
            f"{callback!r} was not called within {timeout} s",
            hint="its operation may still be under way; `cancel=` is where to stop it",
        ) from None
    except BaseException:
        if callback.statistics().taken == 0:
            _give_up(callback, started, cancel)
        raise
    calls = callback.statistics()
    if calls.accepted + calls.dropped > 1:
        _warn(callback, calls.accepted + calls.dropped)
    else:
        _answered.append(callback)
    return answer


def _all(*arguments: object) -> tuple[object, ...]:
    return arguments


def _give_up(
    callback: CCallback[Any], started: object, cancel: Callable[[Any], object] | None
) -> None:
    callback._expect_late()  # noqa: SLF001
    if cancel is not None:
        call_off(repr(callback), cancel, started)


def _warn_of_late() -> None:
    global _seen_late  # noqa: PLW0603
    late = CCallback._all_late()  # noqa: SLF001
    if late == _seen_late:
        return
    _seen_late = late
    for callback in list(_answered):
        again = callback.statistics().late
        if again:
            _answered.remove(callback)
            _warn(callback, again + 1)


def _warn(callback: CCallback[Any], times: int) -> None:
    message = f"{callback!r} was called {times} times for one operation; the first call counted"
    warnings.warn(message, CallbackWarning, stacklevel=4)


def _name_of(fn: object) -> str:
    name: str = getattr(fn, "__name__", "")
    # What cffi opens at run time does not know its name, and shows its type and address.
    return name if name.isidentifier() or name == "<lambda>" else repr(fn)


def _type_of_parameter(fn: object, place: int) -> Any:
    """The type of the callback that `fn` takes there, if it is a function of cffi's."""
    function = function_type(fn)
    if function is None or place >= len(function.args):
        return None
    ctype = function.args[place]
    return ctype if ctype.kind == "function" else None
