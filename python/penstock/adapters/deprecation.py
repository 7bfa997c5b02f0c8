"""Keeps an old call style alive for a while, and tells each place that uses it.

The warnings are `DeprecationWarning`s at the line of the call: Python's own filters show each line
once, pytest shows them, and `-W error::DeprecationWarning` finds the last of them.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

from penstock.errors import Misuse
from penstock.resilience.form import form_of, name_of

from .callbacks import callbackify

__all__ = ("deprecated", "deprecated_arguments", "deprecated_callback")

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def deprecated(
    instead: str, /, *, since: str | None = None, removed_in: str | None = None
) -> Callable[[F], F]:
    """Decorates a function or a class on its way out: each call warns, and names what to use.

    Args:
        instead: what to call from now on, in words or as a name.
        since: the version that deprecated it.
        removed_in: the version that will be without it.

    Type checkers know it by `__deprecated__` (PEP 702); those that read the decorator only by name
    need `typing_extensions.deprecated`. Raises Misuse for what is no function or class.

    Example:
        >>> import warnings
        >>> @deprecated("total()", since="1.4", removed_in="2.0")
        ... def sum_up(*numbers): return sum(numbers)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     sum_up(1, 2)
        3
        >>> print(caught[0].message)
        sum_up is deprecated since 1.4 and will be removed in 2.0: use total()

    """
    _check_words("deprecated", instead=instead)

    def decorate(fn: F) -> F:
        if not callable(fn):
            raise Misuse(f"deprecated: {fn!r} is no function")
        message = _message(f"{name_of(fn)} is", since, removed_in, f"use {instead}")
        if isinstance(fn, type):
            _warn_at_construction(fn, message)
            fn.__deprecated__ = message  # type: ignore[attr-defined]
            return fn

        # Plain for an async one, too: the warning is for the line that calls it.
        @wraps(fn)
        def warned(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return fn(*args, **kwargs)

        _mark(fn, warned)
        warned.__deprecated__ = message  # type: ignore[attr-defined]
        return warned  # type: ignore[return-value]

    return decorate


def deprecated_arguments(
    *, since: str | None = None, removed_in: str | None = None, **renamed: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function some of whose keywords have new names: the old ones go on to work.

    `@deprecated_arguments(colour="color")` takes `colour=` for `color=`, and warns. Raises Misuse
    for names that the function has not, or has still; a call with both raises TypeError.

    Args:
        since: the version that deprecated the old names.
        removed_in: the version that will be without them.
        **renamed: the new name for each old one.

    Example:
        >>> import warnings
        >>> @deprecated_arguments(colour="color")
        ... def paint(color): return color
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     paint(colour="red")
        'red'
        >>> print(caught[0].message)
        paint: colour= is deprecated: use color=

    """
    if not renamed:
        raise Misuse("deprecated_arguments: no name", hint='old="new", for each')
    _check_words("deprecated_arguments", **renamed)

    def decorate(fn: Callable[P, T]) -> Callable[P, T]:
        if not callable(fn) or isinstance(fn, type):
            raise Misuse(f"deprecated_arguments: {fn!r} is no function", hint="decorate __init__")
        name = name_of(fn)
        parameters = inspect.signature(fn).parameters
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for old, new in renamed.items():
            if old in parameters:
                raise Misuse(f"deprecated_arguments: {name} still has a parameter {old!r}")
            if new not in parameters and not takes_any:
                raise Misuse(f"deprecated_arguments: {name} has no parameter {new!r}")
        messages = {
            old: _message(f"{name}: {old}= is", since, removed_in, f"use {new}=")
            for old, new in renamed.items()
        }

        def rename(kwargs: dict[str, Any]) -> None:
            for old in messages.keys() & kwargs.keys():
                new = renamed[old]
                if new in kwargs:
                    raise TypeError(f"{name}() got {old}= and {new}=, which are the same")
                warnings.warn(messages[old], DeprecationWarning, stacklevel=3)
                kwargs[new] = kwargs.pop(old)

        @wraps(fn)
        def renaming(*args: P.args, **kwargs: P.kwargs) -> T:
            if kwargs:
                rename(kwargs)
            return fn(*args, **kwargs)

        _mark(fn, renaming)
        return renaming

    return decorate


def deprecated_callback(
    *,
    callback: str = "callback",
    style: Literal["error_first", "success_error"] = "error_first",
    since: str | None = None,
    removed_in: str | None = None,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Decorates a function that became async, and used to take a callback: both go on to work.

    `await fetch(key)` is the new way. `fetch(key, done)` and `fetch(key, callback=done)` warn, and
    do what `callbackify` does: they return None at once, and the callback is called on the loop.

    The callback is the last positional argument, if that is callable and no class. So this is for
    functions that take no function there themselves: give `callbackify(fn)` another name for those.

    Args:
        callback: the keyword that it had.
        style: what it is given; with "success_error" there are two, positional only.
        since: the version that made it async.
        removed_in: the version that will be without callbacks.

    Raises Misuse where that cannot work.

    Example:
        >>> import asyncio, warnings
        >>> @deprecated_callback(since="2.0")
        ... async def double(n): return 2 * n
        >>> async def main():
        ...     done = asyncio.Event()
        ...     double(21, lambda error, value: (print(value), done.set()))
        ...     await done.wait()
        ...     return await double(4)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     asyncio.run(main())
        42
        8
        >>> print(caught[0].message)
        double: a callback is deprecated since 2.0: use await double(…)

    """
    _check_words("deprecated_callback", callback=callback)
    number = 2 if style == "success_error" else 1

    def decorate(fn: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        if not callable(fn) or form_of(fn) != "async":
            raise Misuse(f"deprecated_callback: {fn!r} is no async function")
        name = name_of(fn)
        parameters = inspect.signature(fn).parameters
        if callback in parameters:
            raise Misuse(f"deprecated_callback: {name} still has a parameter {callback!r}")
        message = _message(f"{name}: a callback is", since, removed_in, f"use await {name}(…)")
        call_back: Callable[..., None] = callbackify(fn, style=style)

        @wraps(fn)
        def either(*args: Any, **kwargs: Any) -> Any:
            done = args[-number:]
            if number == 1 and callback in kwargs:
                done = (kwargs.pop(callback),)
            elif len(done) == number and all(callable(d) and not isinstance(d, type) for d in done):
                args = args[:-number]
            else:
                return fn(*args, **kwargs)
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return call_back(*args, *done, **kwargs)

        _mark(fn, either)
        return either

    return decorate


def _warn_at_construction(kind: type[Any], message: str) -> None:
    # A subclass may be on its way out by itself, or not: only the class itself warns.
    if kind.__init__ is object.__init__:
        # What it is made of is taken by `__new__`, as with named tuples and subclasses of str.
        new: Callable[..., Any] = kind.__new__

        @wraps(new)
        def warned_new(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
            if cls is kind:
                warnings.warn(message, DeprecationWarning, stacklevel=2)
            if new is not object.__new__:
                return new(cls, *args, **kwargs)
            if (args or kwargs) and cls.__init__ is object.__init__:
                raise TypeError(f"{cls.__name__}() takes no arguments")
            return new(cls)

        kind.__new__ = staticmethod(warned_new)  # type: ignore[assignment]
        return
    make = kind.__init__

    @wraps(make)
    def warned(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is kind:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        make(self, *args, **kwargs)

    kind.__init__ = warned


def _mark(fn: Callable[..., Any], around: Callable[..., Any]) -> None:
    """Has others take what is around an async function for one: frameworks look before they call.

    From Python 3.12 on `inspect` sees it; before, whoever asks asyncio does, as Starlette.
    """
    if form_of(fn) != "async":
        return
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(around)
    else:
        import asyncio.coroutines

        around._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined] # noqa: SLF001


def _message(what: str, since: str | None, removed_in: str | None, then: str) -> str:
    since = f" since {since}" if since else ""
    removed = f" and will be removed in {removed_in}" if removed_in else ""
    return f"{what} deprecated{since}{removed}: {then}"


def _check_words(what: str, **words: object) -> None:
    for name, word in words.items():
        if not isinstance(word, str) or not word:
            raise Misuse(f"{what}: {name}={word!r} is no name", hint=f'@{what}("what to use")')
