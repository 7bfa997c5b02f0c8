"""What a package has to offer to be asked: one method for each strategy.

An adapter uses its package as the package's own documentation does, with the settings under which
it does best. A strategy that a package does not have is left as it is here, and its probes are not
asked. An adapter decides nothing: what a probe sees is the package's doing.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Any, NoReturn, TypeAlias

__all__ = ("Adapter", "AsyncCall", "Missing", "Wrap", "anything")

AsyncCall: TypeAlias = Callable[[], Awaitable[Any]]
Wrap: TypeAlias = Callable[[Callable[[], Any]], Callable[[], Any]]
"""Puts the strategy around a function without arguments."""


class Missing(Exception):
    """The package has no such strategy, or not in this form."""


def anything(_error: BaseException) -> bool:
    """A filter that takes everything."""
    return True


class Adapter:
    """One package."""

    distribution = ""
    """Its name on PyPI; without one it comes with Python."""
    name = ""
    """What it is called on the page; the distribution's name if nothing is said."""
    module = ""
    """The module that must be there."""
    refusals: tuple[type[BaseException], ...] = ()
    """What an open circuit raises."""
    timeouts: tuple[type[BaseException], ...] = (TimeoutError,)
    """What a timeout raises."""
    note = ""
    """How it was set up, where there was a choice."""

    def __init__(self) -> None:
        self.name = self.name or self.distribution

    @property
    def version(self) -> str:
        """Of what is installed."""
        if self.distribution:
            return metadata.version(self.distribution)
        return platform.python_version()

    def breaker(
        self,
        failures: int,
        open_for: float,
        *,
        on: Callable[[BaseException], bool] | None = None,
        blocking: bool = False,
    ) -> Wrap:
        """Opens after so many failures in a row, for so many seconds; one success closes it.

        `on` decides what is a failure; without it, whatever is one by default.
        """
        raise Missing

    def retry(
        self,
        attempts: int,
        pause: float,
        *,
        widest: bool = False,
        blocking: bool = False,
        total: float | None = None,
    ) -> Wrap:
        """So many attempts with so many seconds between them, and in all no longer than `total`.

        With `widest`, the filter takes all that the package lets one name.
        """
        raise Missing

    def timeout(self, seconds: float) -> Wrap:
        """Ends an async call."""
        raise Missing

    def hedge(self, after: float) -> Wrap:
        """A second attempt after so many seconds."""
        raise Missing

    def cache(self) -> Wrap:
        """Remembers the answer of an async call, for a minute, loading it once for all."""
        raise Missing

    def bulkhead(self, limit: int) -> Wrap:
        """At most so many async calls at once; others wait."""
        raise Missing

    def fallback(self, value: object, *, widest: bool = False, blocking: bool = False) -> Wrap:
        """Answers in place of a call that has failed."""
        raise Missing


def missing(what: str) -> NoReturn:
    """Refuses to be asked, and says why."""
    raise Missing(what)
