"""`promisify` and `from_callbacks`: functions that call back, as async functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from functools import partial, wraps
from typing import Any, Literal, TypeVar, TypeVarTuple, overload

from penstock.errors import Misuse
from penstock.resilience.form import form_of, name_of

from .calling_off import call_off
from .settling import Callback, Outcome, Read
from .styles import AsError, Results, Style, failing, reader

__all__ = ("from_callbacks", "promisify")


T = TypeVar("T")
R = TypeVar("R")
H = TypeVar("H")
Ts = TypeVarTuple("Ts")

_Place = int | str
"""Where a callback goes: at that position, -1 behind the arguments given, or under that name."""

_Async = Callable[..., Coroutine[Any, Any, Any]]


@overload
def promisify(
    fn: Callable[[*Ts, Callable[[Any, T], None]], H],
    /,
    *,
    style: Literal["error_first"] = "error_first",
    cancel: Callable[[H], object] | None = None,
    late: Callable[[T], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[[*Ts], Coroutine[Any, Any, T]]: ...
@overload
def promisify(
    fn: Callable[[*Ts, Callable[[T], None]], H],
    /,
    *,
    style: Literal["value"],
    cancel: Callable[[H], object] | None = None,
    late: Callable[[T], object] | None = None,
) -> Callable[[*Ts], Coroutine[Any, Any, T]]: ...
@overload
def promisify(
    fn: Callable[..., H],
    /,
    *,
    style: Style = "error_first",
    callback: int | str = -1,
    results: Callable[..., R],
    cancel: Callable[[H], object] | None = None,
    late: Callable[[R], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[..., Coroutine[Any, Any, R]]: ...
@overload
def promisify(
    fn: Callable[..., H],
    /,
    *,
    style: Style = "error_first",
    callback: int | str = -1,
    results: Results = "one",
    cancel: Callable[[H], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[..., Coroutine[Any, Any, Any]]: ...
@overload
def promisify(
    fn: None = None,
    /,
    *,
    style: Style = "error_first",
    callback: int | str = -1,
    results: Results = "one",
    cancel: Callable[[Any], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Coroutine[Any, Any, Any]]]: ...
def promisify(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    style: Style = "error_first",
    callback: int | str = -1,
    results: Results = "one",
    cancel: Callable[[Any], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Any:
    """An async function of one that calls back once, as a decorator or around a function.

    For APIs that take a callback for their one answer: `fn(key, callback)` becomes
    `await wrapped(key)`. For what calls many times, take a callback source; for success and error
    in two callbacks `from_callbacks`. What blocks until it is done needs `to_async` instead.

    The first outcome counts: a call of the callback, from any thread or loop and also before `fn`
    returns, or what `fn` itself raises. A second call changes nothing, and is a `CallbackWarning`
    where it is made. A callback that nobody holds any more raises `CallbackLost` at once; for one
    that is held and never called set a bound: `asyncio.timeout`, or a `Policy` with a `Timeout`.

    A cancellation ends the wait at once. `cancel` is given what `fn` had returned, such as a
    handle to stop it by; a result that comes all the same goes to `late`.

    An attribute `__promisified__` of `fn` is returned as it is: an API's own async form.

    Args:
        fn: what takes the callback; any callable that is not async.
        style: what the callback is given: an error, None for success, and then values
            ("error_first"), values and then the error ("error_last"), values only ("value").
        callback: where it goes: a position among the arguments, -1 for the last parameter (or
            behind the arguments given, where `fn` takes any number), or the name of a keyword.
        results: what several values become: "one" is for none or one, "tuple" for any number, and
            a callable, such as a NamedTuple, is called with them.
        cancel: called on the loop's thread when the waiting is cancelled; must not block. What it
            raises is logged.
        late: called with a result that comes after that, by whoever calls back: to close it.
        as_error: makes an exception, or None for success, of what the callback has as its error,
            such as a number. Without it, what is no exception is raised as `CallbackError`.

    Raises Misuse for what cannot work, here and now. On asyncio, uvloop and trio; costs some 3 µs,
    and one wake if the callback comes from another thread. Source: Node's `util.promisify`.

    Example:
        >>> import asyncio, threading
        >>> def read(key, callback):
        ...     threading.Thread(target=callback, args=(None, key.upper())).start()
        >>> asyncio.run(promisify(read)("a"))
        'A'

    """
    if fn is None:
        return partial(
            promisify,
            style=style,
            callback=callback,
            results=results,
            cancel=cancel,
            late=late,
            as_error=as_error,
        )
    name = _checked(fn, "promisify", cancel, late)
    own: Any = getattr(fn, "__promisified__", None)
    if own is not None:
        if not callable(own):
            raise Misuse(f"promisify: {name}.__promisified__ is {own!r}, which is no function")
        return own
    read = reader(name, style, results, as_error)
    return _made(name, fn, ((callback, read),), cancel, late)


@overload
def from_callbacks(
    fn: Callable[[*Ts, Callable[[T], None], Callable[[Any], None]], H],
    /,
    *,
    cancel: Callable[[H], object] | None = None,
    late: Callable[[T], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[[*Ts], Coroutine[Any, Any, T]]: ...
@overload
def from_callbacks(
    fn: Callable[..., H],
    /,
    *,
    success: int | str = -2,
    error: int | str | None = -1,
    results: Callable[..., R],
    cancel: Callable[[H], object] | None = None,
    late: Callable[[R], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[..., Coroutine[Any, Any, R]]: ...
@overload
def from_callbacks(
    fn: Callable[..., H],
    /,
    *,
    success: int | str = -2,
    error: int | str | None = -1,
    results: Results = "one",
    cancel: Callable[[H], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[..., Coroutine[Any, Any, Any]]: ...
@overload
def from_callbacks(
    fn: None = None,
    /,
    *,
    success: int | str = -2,
    error: int | str | None = -1,
    results: Results = "one",
    cancel: Callable[[Any], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Coroutine[Any, Any, Any]]]: ...
def from_callbacks(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    success: int | str = -2,
    error: int | str | None = -1,
    results: Results = "one",
    cancel: Callable[[Any], object] | None = None,
    late: Callable[[Any], object] | None = None,
    as_error: AsError | None = None,
) -> Any:
    """As `promisify`, for functions with a callback for success and one for errors.

    `fn(key, on_success, on_error)` becomes `await wrapped(key)`. With a function of no arguments
    it is what `new Promise` is elsewhere: `await from_callbacks(lambda ok, fail: …)()`.

    Args:
        fn: what takes the callbacks; any callable that is not async.
        success: where the one for success goes: a position, -2 for the last parameter but one, or
            the name of a keyword.
        error: where the other one goes; None if there is none.
        results: see `promisify`, and so for the others.
        cancel: called with what `fn` returned, when the waiting is cancelled.
        late: called with a result that comes after that.
        as_error: makes an exception of what the second callback is given.

    Raises Misuse for what cannot work, here and now.

    Example:
        >>> import asyncio
        >>> def divide(a, b, done, failed):
        ...     done(a / b) if b else failed("by zero")
        >>> asyncio.run(from_callbacks(divide)(6, 3))
        2.0

    """
    if fn is None:
        return partial(
            from_callbacks,
            success=success,
            error=error,
            results=results,
            cancel=cancel,
            late=late,
            as_error=as_error,
        )
    name = _checked(fn, "from_callbacks", cancel, late)
    callbacks = [(success, reader(name, "value", results, None))]
    if error is not None:
        callbacks.append((error, failing(name, as_error)))
        if success == error:
            raise Misuse(f"from_callbacks: {name} has both callbacks at {success!r}")
    return _made(name, fn, tuple(callbacks), cancel, late)


def _checked(fn: Any, what: str, *hooks: Any) -> str:
    """The function's name; raises Misuse for what is no function that calls back."""
    if not callable(fn):
        raise Misuse(f"{what}: {fn!r} is no function", hint=f"{what}(fn), or @{what}(…)")
    form = form_of(fn)
    if form != "plain":
        raise Misuse(
            f"{what}: {name_of(fn)} is an {form} function".replace("an generator", "a generator"),
            hint="it needs no callback: await it, or iterate over it, as it is",
        )
    for hook in hooks:
        if hook is None:
            continue
        if not callable(hook) or form_of(hook) != "plain":
            raise Misuse(
                f"{what}: {hook!r} cannot be called at a cancellation",
                hint="cancel= and late= are plain functions of one argument",
            )
    return name_of(fn)


def _made(
    name: str,
    fn: Callable[..., Any],
    callbacks: tuple[tuple[_Place, Read], ...],
    cancel: Callable[[Any], object] | None,
    late: Callable[[Any], object] | None,
) -> _Async:
    put = _putter(name, fn, [place for place, _ in callbacks])
    keyword = _name_at(_parameters(fn) or (), callbacks[0][0])
    first, *others = [read for _, read in callbacks]

    @wraps(fn, updated=())
    async def promisified(*args: Any, **kwargs: Any) -> Any:
        outcome = Outcome(name, late)
        callback = Callback(outcome, first)
        if others:
            args, kwargs = put(
                args, kwargs, [callback, *(Callback(outcome, read, callback) for read in others)]
            )
        elif keyword is not None and keyword not in kwargs:
            kwargs[keyword] = callback
        else:
            args, kwargs = put(args, kwargs, [callback])
        del callback
        handle: Any = None
        try:
            handle = fn(*args, **kwargs)
            _refuse_awaitable(name, handle)
        except Exception as error:
            if outcome.raised(error):
                raise
        except BaseException:
            outcome.cancel()
            raise
        # From here on only the other side holds the callbacks: if it lets go of them, we know.
        del args, kwargs
        if cancel is None:
            handle = None
        try:
            return await outcome.wait()
        except BaseException as error:
            if not isinstance(error, Exception):
                outcome.cancel()
                if cancel is not None:
                    call_off(name, cancel, handle)
            raise

    signature = _signature(fn, [place for place, _ in callbacks])
    del promisified.__wrapped__
    if signature is not None:
        promisified.__signature__ = signature  # type: ignore[attr-defined]
    return promisified


def _refuse_awaitable(name: str, handle: object) -> None:
    if inspect.iscoroutine(handle):
        handle.close()
        raise Misuse(f"{name} returned a coroutine", hint="it needs no callback: await it")


_Put = Callable[
    [tuple[Any, ...], dict[str, Any], list[Callback]], tuple[tuple[Any, ...], dict[str, Any]]
]


def _putter(name: str, fn: Callable[..., Any], places: list[_Place]) -> _Put:
    """What puts the callbacks among the arguments of a call."""
    _check_places(name, fn, places)
    found = _parameters(fn) or ()
    named = [_name_at(found, place) for place in places]

    def put(args: Any, kwargs: Any, callbacks: list[Callback]) -> Any:
        behind = []
        for place, keyword, callback in zip(places, named, callbacks, strict=True):
            if keyword is not None:
                if keyword in kwargs:
                    raise Misuse(
                        f"{name}: {keyword}= is its callback", hint="leave it out, and await"
                    )
                kwargs[keyword] = callback
            elif isinstance(place, int) and place >= 0:
                args = (*args[:place], callback, *args[place:])
            else:
                behind.append(callback)
        return ((*args, *behind) if behind else args), kwargs

    return put


def _name_at(parameters: Sequence[inspect.Parameter], place: _Place) -> str | None:
    """The keyword for a callback there: arguments before it may then be left out."""
    if isinstance(place, str):
        return place
    kinds = {each.kind for each in parameters}
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    if place >= 0 or inspect.Parameter.VAR_POSITIONAL in kinds or len(positional) < -place:
        return None
    # What comes behind it has to take a keyword, too.
    if any(each.kind not in _NAMED for each in positional[place:]):
        return None
    return positional[place].name


def _check_places(name: str, fn: Callable[..., Any], places: list[_Place]) -> None:
    for place in places:
        if isinstance(place, bool) or not isinstance(place, int | str) or place == "":
            raise Misuse(
                f"{name}: {place!r} is no place for a callback",
                hint="a position, -1 for behind the arguments, or a keyword's name",
            )
    parameters = _parameters(fn)
    if parameters is None:
        return
    kinds = {each.kind for each in parameters}
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    names = [each.name for each in parameters if each.kind in _NAMED]
    told = f"its parameters are ({', '.join(str(each) for each in parameters)})"
    for place in places:
        if isinstance(place, str):
            if inspect.Parameter.VAR_KEYWORD not in kinds and place not in names:
                raise Misuse(f"{name} takes no {place!r}", hint=told)
        elif inspect.Parameter.VAR_POSITIONAL not in kinds and len(positional) < (
            place + 1 if place >= 0 else -place
        ):
            raise Misuse(f"{name} has no room for a callback at {place}", hint=told)


_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_NAMED = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # written in C, and says nothing of itself
        return None


def _signature(fn: Callable[..., Any], places: list[_Place]) -> inspect.Signature | None:
    """The function's own, without its callbacks."""
    parameters = _parameters(fn)
    if parameters is None:
        return None
    gone: set[str] = set()
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    for place in places:
        if isinstance(place, str):
            gone.add(place)
        elif -len(positional) <= place < len(positional):
            gone.add(positional[place].name)
    kept = [each for each in parameters if each.name not in gone]
    return inspect.Signature(kept)
