"""Which services run on which event loop, so that a call finds the one it belongs to.

`penstock.service` tells; `penstock.workers.run_in_worker`, rooms below it, asks.
"""

from __future__ import annotations

from contextvars import ContextVar

from ._loops import current_hub
from .errors import Misuse

__all__ = ("Serving", "enter", "leave", "serving")


_variable: ContextVar[Serving | None] = ContextVar("penstock_serving", default=None)


class Serving:
    """A service while it runs, as far as others need to know it."""

    __slots__ = ("around", "hub", "name", "parts", "service")

    def __init__(self, service: object, name: str, parts: tuple[object, ...]) -> None:
        self.service = service
        self.name = name
        self.parts = parts
        self.hub = current_hub()
        self.around = _variable.get()


_running: list[Serving] = []
"""Of all loops, in the order of their starts."""


def enter(service: object, name: str, parts: tuple[object, ...]) -> Serving:
    """Note that it starts here: for this task, those begun in it, and the loop as a whole."""
    entry = Serving(service, name, parts)
    _running.append(entry)
    _variable.set(entry)
    return entry


def leave(entry: Serving) -> None:
    """Note that it has ended."""
    _running.remove(entry)
    if _variable.get() is entry:
        _variable.set(entry.around)


def serving() -> Serving | None:
    """The service around the caller, or the only one on its loop; None if none runs there.

    A server calls its handlers in contexts of its own, so the loop has to do there. Raises Misuse
    where two run on the loop and neither is around the caller.
    """
    hub = current_hub()
    around = _variable.get()
    here = [each for each in tuple(_running) if each.hub is hub]
    if around in here:
        return around
    if len(here) > 1:
        raise Misuse(
            f"{len(here)} services run on this event loop: "
            + ", ".join(repr(each.name) for each in here),
            hint="call from inside of one's block, or use the part itself",
        )
    return here[0] if here else None
