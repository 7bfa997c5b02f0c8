"""One subscription: who hears what, and how it is called."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock._native import Tally
from penstock.errors import Misuse
from penstock.resilience import Policy

from .names import matches
from .signature import form_of, name_of

if TYPE_CHECKING:
    from penstock._native import Handler

    from .bus import EventBus
    from .serial import Serial

__all__ = ("Options", "Subscription", "hears")


def hears(what: str | type, key: str | type) -> bool:
    """Whether a name, pattern or class stands for a name or class that is emitted."""
    if isinstance(key, type):
        return isinstance(what, type) and what in key.__mro__
    return isinstance(what, str) and matches(what, key)


@dataclass(frozen=True, slots=True)
class Options:
    """How a handler is called."""

    priority: int = 0
    once: bool = False
    weak: bool = False
    timeout: float | None = None
    policy: Policy | None = None
    inline: bool = False
    serial: bool = False
    backlog: int = 1024

    def check(self, handler: Callable[..., Any], whose: str) -> None:
        """Raises Misuse for what does not go together."""
        name = name_of(handler)
        is_async = form_of(handler) == "async"
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise Misuse(f"{whose}: priority={self.priority!r}", hint="a whole number; 0 is usual")
        if self.timeout is not None and not (
            isinstance(self.timeout, (int, float)) and self.timeout > 0
        ):
            raise Misuse(f"{whose}: timeout={self.timeout!r} of {name}", hint="seconds above 0")
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise Misuse(
                f"{whose}: policy={self.policy!r} of {name}",
                hint='policy=Policy("mails", Retry(attempts=3))',
            )
        if isinstance(self.backlog, bool) or not isinstance(self.backlog, int) or self.backlog < 0:
            raise Misuse(f"{whose}: backlog={self.backlog!r} of {name}", hint="events, 0 or more")
        if self.inline and is_async:
            raise Misuse(
                f"{whose}: inline=True means nothing for {name}, which is async",
                hint="it begins in the emitter's turn anyway",
            )
        if self.inline and (self.timeout is not None or self.policy is not None):
            raise Misuse(
                f"{whose}: {name} is inline, where a timeout cannot end it and a policy's pauses "
                "would stop the loop",
                hint="leave out inline=True, and it runs in a thread",
            )


class Subscription:
    """What `on` returns: call it to unsubscribe.

    Any thread may call it, once; a handler that is under way goes on. Raises Misuse when the
    handler is unsubscribed already.
    """

    def __init__(
        self,
        bus: EventBus,
        what: str | type,
        handler: Callable[..., Any],
        takes: int,
        options: Options,
        number: int,
    ) -> None:
        self.what = what
        """A name, a pattern or a class."""
        self.options = options
        self.label = name_of(handler)
        self.takes = takes
        self.number = number
        self.is_active = True
        """Whether it still hears."""
        self.is_internal = False
        self.tally = Tally()
        self.serial: Serial | None = None
        self.refusal: Callable[[], Misuse] | None = None
        """Why an event that was not written in a transaction must not be emitted."""
        self.write: Callable[[Any, str | type, Any], str] | None = None
        """Writes an event in a transaction, before any handler hears of it."""
        self.native: Handler
        self._bus = weakref.ref(bus)
        self._strong: Callable[..., Any] | None = None if options.weak else handler
        self._weak: weakref.ref[Any] | None = None
        if options.weak:
            made = weakref.WeakMethod if inspect.ismethod(handler) else weakref.ref
            self._weak = made(handler, self._gone)

    def __call__(self) -> None:
        bus = self._bus()
        if bus is None:
            self.is_active = False
            return
        bus._remove(self)

    @property
    def handler(self) -> Callable[..., Any] | None:
        """The function that was given to `on`; None if it was held weakly and is gone."""
        if self._weak is not None:
            found: Callable[..., Any] | None = self._weak()
            return found
        return self._strong

    def _gone(self, _reference: object) -> None:
        bus = self._bus()
        if bus is not None and self.is_active:
            bus._remove(self)

    def hears(self, key: str | type) -> bool:
        """Whether it is one for a name or a class that is emitted."""
        return hears(self.what, key)

    def __repr__(self) -> str:
        what = self.what.__qualname__ if isinstance(self.what, type) else self.what
        return f"<Subscription of {self.label} to {what}{'' if self.is_active else ', ended'}>"
