"""The callback that legacy code is given, and the outcome that a task waits for.

Whoever comes first settles the outcome: a call of the callback, from any thread or loop, an
exception of the function itself, a cancellation, or the end of the callback's life. The claim is
one `dict.setdefault`, which is atomic with and without the global lock, holds all there is to know
before the place is woken, and may be interrupted anywhere by a collection that ends a callback.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from penstock._loops import current_hub

from .errors import CallbackLost, CallbackWarning
from .events import count

__all__ = ("Callback", "Outcome", "Read")

_log = logging.getLogger("penstock.adapters")

Read: TypeAlias = Callable[[tuple[Any, ...]], Any]
"""Makes the result of a callback's arguments, or raises."""


_Claim: TypeAlias = tuple[str, Read | None, tuple[Any, ...]]
"""How the outcome was settled, and by a call what is to be read. Known by being the same object."""

_LOST: Final[_Claim] = ("lost", None, ())


class Outcome:
    """What becomes of one call: settled once, awaited by the task that made it."""

    __slots__ = ("_claims", "_late", "_place", "name")

    def __init__(self, name: str, late: Callable[[Any], object] | None) -> None:
        self.name = name
        self._late = late
        self._place = current_hub().place()
        self._claims: dict[None, _Claim] = {}

    def settle(self, read: Read, arguments: tuple[Any, ...]) -> None:
        """The callback was called: the first call counts, others are reported to their caller."""
        claim: _Claim = ("called", read, arguments)
        first = self._claims.setdefault(None, claim)
        if first is claim:
            self._place.wake()
        elif first[0] == "cancelled":
            self._come_late(claim)
        else:
            count(self.name, "called_again")
            what = "had raised" if first[0] == "raised" else "had been called"
            warnings.warn(
                f"{self.name}: its callback was called after it {what}; that call is ignored",
                CallbackWarning,
                stacklevel=3,
            )

    def lose(self) -> None:
        """The callback was let go of, called or not.

        Called by a collection, maybe in the middle of anything: takes no lock, and counts nothing.
        """
        if not self._claims and self._claims.setdefault(None, _LOST) is _LOST:
            self._place.wake()

    def raised(self, error: Exception) -> bool:
        """The function itself raised; False if it had called back before, which then stands."""
        if self._claims.setdefault(None, ("raised", None, ()))[0] != "called":
            return True
        count(self.name, "raised_after_call")
        warnings.warn(
            f"{self.name}: it called its callback, which counts, and then raised {error!r}",
            CallbackWarning,
            stacklevel=3,
        )
        return False

    def cancel(self) -> None:
        """Nobody waits any more. What was called in the same moment goes the way of the late."""
        first = self._claims.setdefault(None, ("cancelled", None, ()))
        if first[0] == "called":
            self._come_late(first)

    async def wait(self) -> Any:
        """The result, once it is there. Raises what the callback was given."""
        while not self._claims:
            await self._place.wait()
        how, read, arguments = self._claims[None]
        if read is None:
            assert how == "lost", how
            count(self.name, "lost")
            raise CallbackLost(
                f"{self.name}: its callback was let go of without a call",
                hint="it can never answer; look for a path through it that forgets the callback",
            )
        return read(arguments)

    def _come_late(self, claim: _Claim) -> None:
        count(self.name, "late")
        _, read, arguments = claim
        if self._late is None or read is None:
            return
        try:
            value = read(arguments)
        except Exception:  # an error that nobody waits for any more
            return
        try:
            self._late(value)
        except Exception:
            _log.exception("%s: what takes late results failed", self.name)


class Callback:
    """What legacy code is given to call, from any thread, as it would call a function.

    When it goes, it never will be called; where there are several for one outcome, when the last of
    them goes, as all hold the first.
    """

    __slots__ = ("__weakref__", "_first", "_outcome", "_read")

    __name__ = "callback"

    def __init__(self, outcome: Outcome, read: Read, first: Callback | None = None) -> None:
        self._outcome = outcome
        self._read = read
        self._first = first

    def __call__(self, *arguments: Any) -> None:
        self._outcome.settle(self._read, arguments)

    def __del__(self) -> None:
        if self._first is None:
            self._outcome.lose()

    def __repr__(self) -> str:
        return f"<callback of {self._outcome.name}>"
