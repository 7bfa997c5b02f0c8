"""What is registered for a message: taken apart once, so that a call costs no looking.

A handler is an async function, a plain function (called in a thread, or where it is with
`inline=True`), or a class that is made for each call. What it wants beside the message are its
dependencies: further parameters of a function, parameters of a class's `__init__`.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

from penstock.errors import Misuse

from .message import Kind, named

__all__ = ("Dependency", "Handler", "examine", "first_kind", "label_of", "wants_of")

_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


_NO_NAMES: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that a handler wants to be given."""

    name: str
    wanted: Any
    """The annotation, without `Annotated`."""
    metadata: tuple[Any, ...] = ()
    """What was said of it in `Annotated`."""
    is_keyword: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler, taken apart."""

    kind: Kind
    given: Any
    """What was registered."""
    form: str
    """"async", "sync", "stream", "generator" or "async object": what calling it gives."""
    is_class: bool
    method: str | None
    """Of a class: what is called, `handle` or `__call__`."""
    dependencies: tuple[Dependency, ...]
    inline: bool
    annotated: Any = None
    """What its message is annotated as; None if it is not, or the name cannot be resolved yet."""
    returns: Any = None

    @property
    def label(self) -> str:
        """How errors and graphs call it."""
        return label_of(self.given)


def examine(
    kind: Kind, given: Any, *, inline: bool, is_stream: bool, names: Mapping[str, Any] = _NO_NAMES
) -> Handler:
    """Take a handler apart. Raises Misuse for what cannot handle `kind`.

    `names` are those of the function that it is defined in, for annotations that are texts.
    """
    where = f"the handler of {named(kind)}"
    if not callable(given):
        raise Misuse(
            f"{where} is {given!r}, which cannot be called",
            hint="give an async function, a function, or a class with handle()",
        )
    if isinstance(given, type):
        method = _method_of(given)
        if method is None:
            raise Misuse(
                f"{where}, the class {given.__qualname__}, has neither handle() nor __call__()",
                hint="`async def handle(self, message)`",
            )
        call = getattr(given, method)
        _, rest, hints = _parameters(call, where, names, skip=1)
        if rest:
            raise Misuse(
                f"{where}, {given.__qualname__}.{method}, wants {rest[0].name!r}, too",
                hint="what it depends on goes into __init__: it is made for each call",
            )
        annotated = _first_hint(call, hints, skip=1)
        dependencies = _dependencies_of_class(given, where, names)
    else:
        method = None
        call = given if inspect.isroutine(given) else _called(given)
        _, rest, hints = _parameters(call, where, names, skip=0)
        annotated = _first_hint(call, hints, skip=0)
        dependencies = tuple(_dependency(each, hints, where) for each in rest)
    form = _form_of(call)
    _check_form(form, given, where, inline=inline, is_stream=is_stream)
    _check_fit(kind, annotated, label_of(given))
    is_class = isinstance(given, type)
    returns = hints.get("return")
    return Handler(kind, given, form, is_class, method, dependencies, inline, annotated, returns)


def first_kind(given: Any, names: Mapping[str, Any] = _NO_NAMES) -> Kind:
    """The class that a handler's message is annotated as. Raises Misuse if there is none."""
    if not callable(given):
        raise Misuse(f"{given!r} is no handler", hint="put @bus.handles above a function or class")
    where = f"the handler {label_of(given)}"
    if isinstance(given, type):
        call, skip = getattr(given, _method_of(given) or "handle", given), 1
    else:
        call, skip = given, 0
    _, _, hints = _parameters(call, where, names, skip=skip)
    annotated = _first_hint(call, hints, skip=skip)
    if not isinstance(annotated, type):
        raise Misuse(
            f"{where} does not say which message it handles",
            hint="annotate its first parameter with the message's class, or use register()",
        )
    return annotated


def _method_of(given: type) -> str | None:
    # Every class has a `__call__`, which makes its instances.
    own = [name for each in given.__mro__ for name in vars(each)]
    return next((each for each in ("handle", "__call__") if each in own), None)


def label_of(given: Any) -> str:
    name: str = getattr(given, "__qualname__", None) or type(given).__qualname__
    return name.rpartition("<locals>.")[2]


def _called(given: Any) -> Any:
    inner = getattr(given, "func", None)  # functools.partial
    return given if inner is not None else type(given).__call__.__get__(given)


def _form_of(call: Any) -> str:
    while (inner := getattr(call, "func", None)) is not None:
        call = inner
    if inspect.isasyncgenfunction(call):
        return "stream"
    if inspect.iscoroutinefunction(call):
        return "async"
    if inspect.isgeneratorfunction(call):
        return "generator"
    return "sync"


def _check_form(form: str, given: Any, where: str, *, inline: bool, is_stream: bool) -> None:
    label = label_of(given)
    if is_stream and form == "async":
        raise Misuse(
            f"{where}, {label}, returns one answer, and a StreamQuery has many",
            hint="`async def` with `yield`",
        )
    if is_stream and form == "generator" and not inline:
        raise Misuse(
            f"{where}, {label}, is a plain generator: the loop would wait for each of its items",
            hint="make it `async def`, or register it with inline=True if it never waits",
        )
    if not is_stream and form in {"stream", "generator"}:
        raise Misuse(
            f"{where}, {label}, is a generator function, and one answer is wanted",
            hint="return it, or make the message a StreamQuery",
        )
    if inline and form in {"async", "stream"}:
        raise Misuse(
            f"{where}, {label}, is async: inline= is for plain functions", hint="leave it out"
        )


def _check_fit(kind: Kind, annotated: Any, label: str) -> None:
    if isinstance(kind, str) or not isinstance(annotated, type):
        return
    try:
        fits = issubclass(kind, annotated)
    except TypeError:  # a Protocol: nothing that can be told here
        return
    if not fits:
        raise Misuse(
            f"{label} handles {named(annotated)}, and was registered for {named(kind)}",
            hint=f"register({annotated.__name__}, …), or mend the annotation",
        )


def _parameters(
    call: Any, where: str, names: Mapping[str, Any], *, skip: int
) -> tuple[inspect.Parameter, Sequence[inspect.Parameter], dict[str, Any]]:
    try:
        parameters = list(inspect.signature(call).parameters.values())[skip:]
    except (TypeError, ValueError) as error:
        raise Misuse(
            f"{where}, {call!r}, does not say what it takes", hint="put it into a function"
        ) from error
    kinds = inspect.Parameter
    first = parameters[0] if parameters else None
    if first is None or first.kind not in {*_POSITIONAL, kinds.VAR_POSITIONAL}:
        raise Misuse(
            f"{where}, {label_of(call)}, takes no message", hint="its first parameter is one"
        )
    packed = {kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD}
    # One with a default is the handler's own affair, unless it is marked as a dependency.
    rest = [
        each
        for each in parameters[1:]
        if each.kind not in packed
        and (each.default is kinds.empty or get_origin(each.annotation) is Annotated)
    ]
    return first, rest, _hints(call, names)


def _hints(call: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    while (inner := getattr(call, "func", None)) is not None:
        call = inner
    try:
        return typing.get_type_hints(call, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # One name that is not there yet, or only for type checkers, does not hide the others.
        found = getattr(call, "__annotations__", {})
        return {name: _resolved(call, each, names) for name, each in found.items()}


def _resolved(call: Any, annotation: Any, local: Mapping[str, Any]) -> Any:
    """What a text stands for; itself where that cannot be told."""
    if not isinstance(annotation, str):
        return annotation
    function = getattr(call, "__func__", call)
    names = {**getattr(function, "__globals__", {}), **local}
    with contextlib.suppress(Exception):
        names |= inspect.getclosurevars(function).nonlocals
    try:
        return eval(annotation, names)  # noqa: S307 - as typing.get_type_hints does
    except Exception:  # noqa: BLE001
        return annotation


def _first_hint(call: Any, hints: dict[str, Any], *, skip: int) -> Any:
    name = list(inspect.signature(call).parameters)[skip]
    hint = hints.get(name)
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    origin = get_origin(hint)
    hint = origin if isinstance(origin, type) else hint
    return None if isinstance(hint, (TypeVar, str)) or hint is Any else hint


def _dependencies_of_class(
    given: type, where: str, names: Mapping[str, Any]
) -> tuple[Dependency, ...]:
    init: Callable[..., Any] = given.__init__  # type: ignore[misc]
    if init is object.__init__:
        return ()
    kinds = inspect.Parameter
    parameters = list(inspect.signature(init).parameters.values())[1:]
    wanted = [
        each
        for each in parameters
        if each.kind not in {kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD}
        and each.default is kinds.empty
    ]
    hints = _hints(init, names)
    return tuple(_dependency(each, hints, f"{where}, {given.__qualname__}") for each in wanted)


def _dependency(each: inspect.Parameter, hints: dict[str, Any], where: str) -> Dependency:
    hint = hints.get(each.name, each.annotation)
    if hint is inspect.Parameter.empty:
        raise Misuse(
            f"{where} wants {each.name!r} beside the message, and does not say what that is",
            hint=f"annotate it ({each.name}: Users), or give it a default",
        )
    metadata: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *extra = get_args(hint)
        metadata = tuple(extra)
    if isinstance(hint, str):
        raise Misuse(
            f"{where}: {each.name} is annotated as {hint!r}, which is not known there",
            hint="import it for good, not only under TYPE_CHECKING",
        )
    is_keyword = each.kind is inspect.Parameter.KEYWORD_ONLY
    return Dependency(each.name, hint, metadata, is_keyword)


def wants_of(make: Any, where: str, names: Mapping[str, Any] = _NO_NAMES) -> tuple[Dependency, ...]:
    """What a factory wants: its parameters, those of `__init__` for a class."""
    if isinstance(make, type):
        return _dependencies_of_class(make, where, names)
    kinds = inspect.Parameter
    hints = _hints(make, names)
    parameters = inspect.signature(make).parameters.values()
    packed = {kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD}
    wanted = [each for each in parameters if each.kind not in packed]
    return tuple(_dependency(each, hints, where) for each in wanted if each.default is kinds.empty)
