"""Plain data and dataclasses to and from what `json` knows, by their annotations.

A small part of what msgspec does, for installations without it: None, bool, int, float, str,
lists, tuples, dicts with str keys, optional and united types, and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Union

Convert = Callable[[Any], Any]


class Unconvertible(TypeError):
    """A type that is not plain data."""


def as_plain(value: Any) -> Any:
    """What `json.dumps` asks for what it does not know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__qualname__} is not plain data")


def converter(wanted: Any) -> Convert:
    """A function that makes a `wanted` of parsed JSON, or raises ValueError saying what is off."""
    return _converter(wanted, {})


def _converter(wanted: Any, known: dict[Any, list[Convert]]) -> Convert:
    if wanted is Any or wanted is object:
        return lambda value: value
    if wanted is None or wanted is type(None):
        return _exactly(type(None))
    if wanted in (bool, int, str):
        return _exactly(wanted)
    if wanted is float:
        return _float
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (Union, types.UnionType):
        return _united([_converter(each, known) for each in arguments])
    if wanted is list or origin is list:
        return _list(_converter(arguments[0] if arguments else Any, known))
    if wanted is dict or origin is dict:
        keys, values = arguments or (str, Any)
        if keys is not str:
            raise Unconvertible(f"the keys of a JSON object are str, not {keys!r}")
        return _dict(_converter(values, known))
    if wanted is tuple or origin is tuple:
        return _tuple(arguments, known)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _dataclass(wanted, known)
    raise Unconvertible(f"{wanted!r} is not plain data")


def _named(value: Any) -> str:
    return type(value).__name__


def _exactly(wanted: type) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not wanted:
            raise ValueError(f"expected {wanted.__name__}, got {_named(value)}")
        return value

    return convert


def _float(value: Any) -> Any:
    if type(value) not in (int, float):
        raise ValueError(f"expected float, got {_named(value)}")
    return float(value)


def _united(choices: list[Convert]) -> Convert:
    def convert(value: Any) -> Any:
        complaints = []
        for choice in choices:
            try:
                return choice(value)
            except ValueError as error:
                complaints.append(str(error))
        raise ValueError(" and ".join(complaints))

    return convert


def _list(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise ValueError(f"expected list, got {_named(value)}")
        return [inner(each) for each in value]

    return convert


def _dict(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise ValueError(f"expected dict, got {_named(value)}")
        return {name: inner(each) for name, each in value.items()}

    return convert


def _tuple(arguments: tuple[Any, ...], known: dict[Any, list[Convert]]) -> Convert:
    if not arguments or (len(arguments) == 2 and arguments[1] is ...):
        items = _list(_converter(arguments[0] if arguments else Any, known))
        return lambda value: tuple(items(value))
    inner = [_converter(each, known) for each in arguments]

    def convert(value: Any) -> Any:
        if type(value) is not list or len(value) != len(inner):
            raise ValueError(f"expected a list of {len(inner)}, got {value!r}"[:200])
        return tuple(each(part) for each, part in zip(inner, value, strict=True))

    return convert


def _dataclass(wanted: type, known: dict[Any, list[Convert]]) -> Convert:
    if wanted in known:  # a class that refers to itself: its converter is not made yet
        made = known[wanted]
        return lambda value: made[-1](value)  # noqa: PLW0108 (there is nothing to inline yet)
    known[wanted] = []
    try:
        hints = typing.get_type_hints(wanted)
    except NameError as error:
        raise Unconvertible(f"an annotation of {wanted.__qualname__}: {error}") from error
    fields = {
        field.name: _converter(hints[field.name], known)
        for field in dataclasses.fields(wanted)
        if field.init
    }
    required = {
        field.name
        for field in dataclasses.fields(wanted)
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    }
    name = wanted.__qualname__

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise ValueError(f"expected an object for {name}, got {_named(value)}")
        missing = required - value.keys()
        if missing:
            raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
        given = {}
        for field, part in value.items():
            inner = fields.get(field)
            if inner is not None:  # further fields are of a newer version, and left out
                try:
                    given[field] = inner(part)
                except ValueError as error:
                    raise ValueError(f"{name}.{field}: {error}") from None
        return wanted(**given)

    known[wanted].append(convert)
    return convert
