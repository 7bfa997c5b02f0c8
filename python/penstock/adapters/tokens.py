"""A limiter's token for a lent thread, given back while that thread waits for the loop."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    from anyio import CapacityLimiter

__all__ = ("Token",)


class Token:
    """Held while the thread may run; on the loop's thread alone.

    A thread that waits in `to_sync` does not use its token, and what it waits for may need one: if
    all were held by such threads, none would ever come back. So it is given back meanwhile. Where
    none is free afterwards the thread goes on without: it may hold a lock that those who have
    the tokens wait for.
    """

    __slots__ = ("_is_held", "_is_used", "_limiter")

    def __init__(self, limiter: CapacityLimiter) -> None:
        self._limiter = limiter
        self._is_held = False
        self._is_used = False

    async def __aenter__(self) -> Self:
        await self._limiter.acquire_on_behalf_of(self)
        self._is_held = self._is_used = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()
        self._is_used = False  # a thread left behind takes none

    def give_back(self) -> None:
        """The thread waits, or is done."""
        if self._is_held:
            self._is_held = False
            self._limiter.release_on_behalf_of(self)

    def take_again(self) -> None:
        """The thread goes on, with a token if there is one."""
        if self._is_used and not self._is_held:
            try:
                self._limiter.acquire_on_behalf_of_nowait(self)
            except anyio.WouldBlock:
                return
            self._is_held = True
