"""How a callback's arguments say what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from penstock.errors import Misuse

from .errors import CallbackError
from .settling import Read
from .shown import bounded

__all__ = ("Results", "Style", "failing", "reader")

Style: TypeAlias = Literal["error_first", "error_last", "value"]
"""Where the error is: before the values, behind them, or nowhere."""

Results: TypeAlias = Literal["one", "tuple"] | Callable[..., Any]
"""What the values become: the only one, a tuple of all, or what is made of them."""

AsError: TypeAlias = Callable[[Any], Exception | None]

_STYLES = ("error_first", "error_last", "value")


def reader(name: str, style: Style, results: Results, as_error: AsError | None) -> Read:
    """What reads the arguments; raises Misuse for a style or results that there are not."""
    if style not in _STYLES:
        raise Misuse(f"{name}: style={style!r} is unknown", hint=f"one of {', '.join(_STYLES)}")
    if as_error is not None and (style == "value" or not callable(as_error)):
        raise Misuse(
            f"{name}: as_error={as_error!r} means nothing"
            + (" without an error among the arguments" if style == "value" else ""),
            hint="a function that is given the error and returns an exception, or None for success",
        )
    make = _maker(name, results)
    if style == "value":
        return make
    place, rest = (0, slice(1, None)) if style == "error_first" else (-1, slice(None, -1))

    def read(arguments: tuple[Any, ...]) -> Any:
        if arguments:
            error = arguments[place]
            if as_error is not None:
                error = as_error(error)
            if error is not None:
                raise _exception(name, error)
        return make(arguments[rest])

    return read


def failing(name: str, as_error: AsError | None) -> Read:
    """What reads the arguments of a callback that is called for errors alone."""
    if as_error is not None and not callable(as_error):
        raise Misuse(f"{name}: as_error={as_error!r} is no function")

    def read(arguments: tuple[Any, ...]) -> Any:
        error: Any = arguments[0] if len(arguments) == 1 else arguments
        if as_error is not None:
            error = as_error(error)
        raise _exception(name, error)

    return read


def _maker(name: str, results: Results) -> Read:
    if results == "tuple":
        return lambda values: values
    if results == "one":

        def one(values: tuple[Any, ...]) -> Any:
            if len(values) > 1:
                error = CallbackError(
                    f"{name}: its callback was given {len(values)} values",
                    hint='say what becomes of them: results="tuple", or a class that takes them',
                )
                error.reason = values
                raise error
            return values[0] if values else None

        return one
    if callable(results):
        return lambda values: results(*values)
    raise Misuse(
        f"{name}: results={results!r} is unknown",
        hint='"one", "tuple", or what is called with the values, such as a NamedTuple',
    )


def _exception(name: str, error: object) -> Exception:
    """What to raise for what a callback was given as its error."""
    if isinstance(error, type) and issubclass(error, Exception):
        error = error()
    if isinstance(error, Exception):
        return error
    made = CallbackError(
        f"{name}: its callback was given the error {bounded(error)}",
        hint="`reason` has it; as_error= makes an exception of what your library reports",
    )
    made.reason = error
    if isinstance(error, BaseException):
        # A cancellation or an exit over there is none here.
        made.__cause__ = error
    return made
