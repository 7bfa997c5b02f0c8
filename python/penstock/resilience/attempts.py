"""Blocks that are re-run: `async for attempt in policy.attempts(): async with attempt: ...`.

The fused call runs as always, in the caller's own task; where it would await the function, it
hands out BODY, and the block runs while it stands there. So permits, timers and the deadline are
held around the block, and what the block raises comes out of the call as if a function had.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Self

from penstock.errors import Misuse

from .weave import BODY, BREAK

__all__ = ("Attempt", "Attempts")


class Attempts:
    """What `policy.attempts()` returns; for one `for` or `async for`."""

    __slots__ = ("_awaited", "_call", "_is_over", "_make", "_policy", "_started")

    def __init__(
        self, policy: str, make: Callable[[bool], Callable[[], Any]], *, awaited: bool | None = None
    ) -> None:
        self._policy = policy
        self._make = make
        self._awaited = awaited
        self._call: Any = None
        self._started = 0
        self._is_over = False

    def __aiter__(self) -> Self:
        self._begin(awaited=True)
        return self

    def __iter__(self) -> Self:
        self._begin(awaited=False)
        return self

    async def __anext__(self) -> Attempt:
        attempt = self._next()
        if attempt is None:
            raise StopAsyncIteration
        return attempt

    def __next__(self) -> Attempt:
        attempt = self._next()
        if attempt is None:
            raise StopIteration
        return attempt

    def _begin(self, *, awaited: bool) -> None:
        if self._call is not None:
            raise Misuse(
                f"policy {self._policy!r}: attempts() is for one loop",
                hint="call attempts() again for another",
            )
        self._awaited = awaited
        self._call = self._make(awaited)()

    def _next(self) -> Attempt | None:
        if self._is_over:
            return None
        self._started += 1
        return Attempt(self, self._started, self._call)

    def _end(self) -> None:
        self._is_over = True
        self._call.close()


class Attempt:
    """One attempt: what happens in its block is what is tried."""

    __slots__ = ("_attempts", "_call", "number")

    number: int
    """From 1."""

    def __init__(self, attempts: Attempts, number: int, call: Any) -> None:
        self._attempts = attempts
        self.number = number
        self._call: Coroutine[Any, Any, Any] = call

    async def __aenter__(self) -> Self:
        self._check(awaited=True)
        try:
            await _step(self._call, None)
        except BaseException:
            self._attempts._end()  # noqa: SLF001 - two halves of one thing
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        raised: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        try:
            goes_on = await _step(self._call, raised)
        except BaseException as error:
            self._attempts._end()  # noqa: SLF001
            if error is raised:
                return False
            raise
        if not goes_on:
            self._attempts._end()  # noqa: SLF001
        return goes_on

    def __enter__(self) -> Self:
        self._check(awaited=False)
        try:
            next(self._call)  # type: ignore[call-overload] # a generator here
        except BaseException:
            self._attempts._end()  # noqa: SLF001
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        raised: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        try:
            if raised is None:
                self._call.send(None)
            else:
                self._call.throw(raised)
        except StopIteration:
            self._attempts._end()  # noqa: SLF001
            return False
        except BaseException as error:
            self._attempts._end()  # noqa: SLF001
            if error is raised:
                return False
            raise
        return True

    def _check(self, *, awaited: bool) -> None:
        if self._attempts._awaited is not awaited:  # noqa: SLF001
            self._attempts._end()  # noqa: SLF001
            raise Misuse(
                f"policy {self._attempts._policy!r}: a loop and its block differ",  # noqa: SLF001
                hint="`async for` with `async with`, or `for` with `with`",
            )


@types.coroutine
def _step(
    call: Coroutine[Any, Any, Any], raised: BaseException | None
) -> Generator[Any, Any, bool]:
    # Runs the call up to the place where the block is (or may be) next; False at its end. What it
    # awaits on the way goes to the event loop.
    try:
        out = call.send(None) if raised is None else call.throw(raised)
        while out is not BODY and out is not BREAK:
            try:
                reply = yield out
            except BaseException as error:
                out = call.throw(error)
            else:
                out = call.send(reply)
    except StopIteration:
        return False
    return True
