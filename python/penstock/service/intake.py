"""Work from outside: counted while it is under way, refused once the service ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import anyio

from penstock.errors import Closed

__all__ = ("Intake", "Work")


class Work:
    """One piece of work, as a block: see `Service.work`. Any number of them at a time."""

    __slots__ = ("_intake",)

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def __enter__(self) -> Self:
        self._intake.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._intake.leave()


class Intake:
    """Counts what is under way, and is waited for. For one loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_open = False
        self.under_way = 0
        self._none_left: anyio.Event | None = None

    def enter(self) -> None:
        if not self.is_open:
            raise Closed(
                f"service {self._name!r} takes no work now",
                hint="it is not running yet, or ends: let another one do it",
            )
        self.under_way += 1

    def leave(self) -> None:
        self.under_way -= 1
        if not self.under_way and self._none_left is not None:
            self._none_left.set()

    async def until_done(self) -> None:
        """Wait for what is under way; nothing more has been let in meanwhile."""
        if self.under_way:
            self._none_left = anyio.Event()
            await self._none_left.wait()
