"""What `validate()` looks at: all that can be known before the first call."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from penstock.errors import Misuse

from .handler import Handler, examine
from .message import StreamQuery, kinds_below, named, result_of
from .unit import is_unit

if TYPE_CHECKING:
    from .bus import Bus
    from .entry import Entry

__all__ = ("findings_of",)


def findings_of(bus: Bus, packages: Sequence[str]) -> list[str]:
    """Everything that cannot work, one line each."""
    entries = bus.entries
    found = [*_without_handler(bus, packages), *_for_nobody(bus)]
    for entry in entries.values():
        found += _of_handler(entry.handler, bus)
        found += _of_behaviours(entry)
    return found


def _without_handler(bus: Bus, packages: Sequence[str]) -> Iterator[str]:
    registered = [each for each in bus.entries if isinstance(each, type)]
    # A class that was made anew with slots (by dataclasses, by attrs) leaves its twin behind.
    seen = {(each.__module__, each.__qualname__) for each in registered}
    for base in bus.kinds:
        kinds = sorted(kinds_below(base), key=lambda each: (each.__module__, each.__qualname__))
        for kind in kinds:
            identity = (kind.__module__, kind.__qualname__)
            is_base = any(issubclass(each, kind) for each in registered)
            if identity in seen or is_base or not _is_packages(kind, packages):
                continue
            seen.add(identity)
            yield f"nobody handles {named(kind)} of {kind.__module__}"


def _is_packages(kind: type, packages: Sequence[str]) -> bool:
    return not packages or any(
        kind.__module__ == each or kind.__module__.startswith(f"{each}.") for each in packages
    )


def _for_nobody(bus: Bus) -> Iterator[str]:
    for use in bus.uses:
        for kind in use.only:
            if not any(use.names(kind, each) for each in bus.entries):
                yield f"{use.behaviour!r} is used for {named(kind)} only, which nobody handles"


def _of_handler(handler: Handler, bus: Bus) -> Iterator[str]:
    kind = handler.kind
    if isinstance(kind, type):
        try:
            # Names that were not there when it was registered may be known by now.
            handler = (
                handler
                if handler.returns is not None
                else examine(
                    kind,
                    handler.given,
                    inline=handler.inline,
                    is_stream=issubclass(kind, StreamQuery),
                )
            )
        except Misuse as error:
            yield str(error)
            return
        if not issubclass(kind, StreamQuery):
            base = next(each for each in bus.kinds if issubclass(kind, each))
            wanted = result_of(kind, base)
            if not _fits(handler.returns, wanted):
                yield (
                    f"{handler.label} returns {_shown(handler.returns)}, and {named(kind)} is "
                    f"answered with {_shown(wanted)}"
                )
    wants = [each for each in handler.dependencies if not is_unit(each.wanted)]
    for each in bus.resolver.lacks(wants) if wants else ():
        yield (
            f"{handler.label} wants {each.name}: {named(each.wanted)}, and {bus.resolver!r} "
            "does not have it"
        )


def _of_behaviours(entry: Entry) -> Iterator[str]:
    opens = any(hasattr(each, "units") for each in entry.behaviours)
    wants = [each for each in entry.handler.dependencies if is_unit(each.wanted)]
    if wants and not opens:
        yield (
            f"{entry.handler.label} wants {wants[0].name}: UnitOfWork, and nothing opens one for "
            f"{named(entry.handler.kind)}"
        )


# PEP 484: an int will do where a float is wanted.
_PROMOTED = {(int, float), (int, complex), (float, complex)}


def _fits(returned: Any, wanted: Any) -> bool:
    """False only where it is certain; type checkers know more."""
    if returned is None or returned is Any or wanted is Any or isinstance(returned, str):
        return True
    if returned == wanted or (returned, wanted) in _PROMOTED:
        return True
    if returned is type(None):
        return wanted in (None, type(None)) or type(None) in get_args(wanted)
    if get_origin(wanted) in (Union, types.UnionType):
        return any(_fits(returned, each) for each in get_args(wanted))
    if wanted is None:
        return False
    plain = [get_origin(each) or each for each in (returned, wanted)]
    if not all(isinstance(each, type) for each in plain):
        return True
    try:
        return issubclass(plain[0], plain[1])
    except TypeError:  # a TypedDict, a Protocol: nothing that can be told here
        return True


def _shown(annotation: Any) -> str:
    if annotation in (None, type(None)):
        return "None"
    return named(annotation) if isinstance(annotation, type) else str(annotation)
