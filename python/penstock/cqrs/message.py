"""What is sent over a bus: classes that say what they are answered with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, get_args, get_origin

from penstock.errors import Misuse

__all__ = ("Command", "Kind", "Query", "StreamQuery", "kinds_below", "named", "result_of")

R_co = TypeVar("R_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)

Kind = type | str
"""What a handler is registered for: a message's class, or a name."""


class Command(Generic[R_co]):
    """The base of what changes something; `Command[UserId]` is answered with a `UserId`.

    For plain classes, dataclasses, attrs, msgspec and pydantic alike: it has no fields, no slots
    and no metaclass. `Command[None]` for one that is answered with nothing.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, slots=True)
        ... class CreateUser(Command[int]):
        ...     name: str
        >>> CreateUser("Ada")
        CreateUser(name='Ada')

    """

    __slots__ = ()


class Query(Generic[R_co]):
    """The base of what asks and changes nothing; `Query[User]` is answered with a `User`.

    As `Command`. Make it frozen if its answers are to be remembered: `Cached` goes by the message.
    """

    __slots__ = ()


class StreamQuery(Generic[T_co]):
    """The base of what is answered with many items, one by one: `StreamQuery[Row]`.

    Its handler is an async generator function; `QueryBus.stream` gives a `Stream[Row]`.
    """

    __slots__ = ()


def result_of(kind: type, base: type) -> Any:
    """What `kind` is answered with, by its `base[...]`. Raises Misuse if it does not say.

    A `TypeVar` for a class that leaves it open to those below.
    """
    found = _argument(kind, base)
    if found is None:
        raise Misuse(
            f"{named(kind)} does not say what it is answered with",
            hint=f"class {kind.__name__}({base.__name__}[int]), or {base.__name__}[None]",
        )
    return found


def _argument(kind: type, base: type) -> Any:
    for declared in kind.__dict__.get("__orig_bases__", kind.__bases__):
        origin = get_origin(declared) or declared
        if not isinstance(origin, type) or not issubclass(origin, base):
            continue
        given = get_args(declared)
        if origin is base:
            return given[0] if given else None
        inner = _argument(origin, base)
        if isinstance(inner, TypeVar) and given:
            parameters = getattr(origin, "__parameters__", ())
            return dict(zip(parameters, given, strict=False)).get(inner, inner)
        return inner
    return None


def kinds_below(base: type) -> Iterator[type]:
    """Every class below `base` that this process knows and that can be sent."""
    seen: set[type] = set()
    waiting: list[type] = base.__subclasses__()
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        waiting += kind.__subclasses__()
        if not isinstance(_argument(kind, base), TypeVar):
            yield kind


def named(kind: object) -> str:
    """How messages of errors and names of spans call it."""
    return kind.__qualname__.rpartition("<locals>.")[2] if isinstance(kind, type) else repr(kind)
