"""What a handler takes, looked at when it subscribes."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from penstock.errors import Misuse
from penstock.resilience.form import form_of, name_of

__all__ = ("check_handler", "form_of", "name_of")

_SHAPE = "a handler takes the event's data, or data and name, or nothing"


def check_handler(handler: Any, what: str | type, whose: str) -> int:
    """How many of data and name it is to be given. Raises Misuse for what cannot be a handler."""
    if not callable(handler):
        raise Misuse(
            f"{whose}: {handler!r} cannot be called, so it cannot be a handler",
            hint="give a function, or use `@bus.on(...)` above one",
        )
    form = form_of(handler)
    if form in {"generator", "async generator"}:
        raise Misuse(
            f"{whose}: {name_of(handler)} yields, so calling it would run nothing",
            hint="make it a function or an async function",
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # built-ins that do not tell
        return 1
    takes = _positional(signature, name_of(handler), whose)
    if takes and isinstance(what, type):
        _check_type(handler, signature, what, whose)
    return takes


def _positional(signature: inspect.Signature, name: str, whose: str) -> int:
    required = accepted = 0
    for parameter in signature.parameters.values():
        is_required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            accepted = max(accepted, 1)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if is_required:
                raise Misuse(
                    f"{whose}: {name}{signature} wants {parameter.name!r} by keyword",
                    hint=f"{_SHAPE}; functools.partial gives it the rest",
                )
        elif parameter.kind is not parameter.VAR_KEYWORD:
            accepted += 1
            required += is_required
    if required > 2:
        raise Misuse(
            f"{whose}: {name}{signature} wants {required} arguments",
            hint=f"{_SHAPE}; functools.partial gives it the rest",
        )
    return required or min(accepted, 1)


def _check_type(
    handler: Callable[..., Any], signature: inspect.Signature, what: type, whose: str
) -> None:
    first = next(iter(signature.parameters.values()))
    if first.annotation is first.empty:
        return
    wanted = first.annotation
    if isinstance(wanted, str):
        function = getattr(handler, "__func__", handler)
        try:
            wanted = typing.get_type_hints(function).get(first.name, Any)
        except Exception:  # a name that is only there for the type checker
            return
    classes = _classes(wanted)
    if classes and not any(issubclass(what, each) for each in classes):
        raise Misuse(
            f"{whose}: {name_of(handler)} takes {_shown(wanted)}, and {what.__qualname__} is none",
            hint=f"subscribe it to what it takes, or let it take {what.__qualname__}",
        )


def _classes(wanted: Any) -> tuple[type, ...]:
    """The classes that an annotation allows; nothing where that cannot be said."""
    if isinstance(wanted, (types.UnionType, typing._UnionGenericAlias)):  # type: ignore[attr-defined]
        parts = [_classes(each) for each in typing.get_args(wanted)]
        return tuple(each for part in parts for each in part) if all(parts) else ()
    wanted = typing.get_origin(wanted) or wanted
    is_class = isinstance(wanted, type) and wanted is not Any
    is_known = is_class and not getattr(wanted, "_is_protocol", False)
    return (wanted,) if is_known else ()


def _shown(wanted: Any) -> str:
    return wanted.__qualname__ if isinstance(wanted, type) else str(wanted)
