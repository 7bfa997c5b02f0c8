"""`through`: a `Transform` at work, and the hand-over that lets it run ahead by so many bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any, Final

import anyio

from penstock.errors import Closed

from .drive import drive, left
from .expand import FlatMap
from .policy import Policy
from .step import Head, Step
from .transform import Transform, begun, collect, end_of_call

__all__ = ("ByteBuffer", "Through")

_FLUSH: Final = object()


class Through(FlatMap):
    """Each chunk becomes what `transform` gives for it, and the end what `flush` gives."""

    def __init__(
        self, name: str, upstream: Step, make: Callable[[], Transform[Any, Any]], policy: Policy
    ) -> None:
        super().__init__(name, upstream, self._call, policy)
        self._transform = begun(make())
        self._is_flushing = False
        self._is_closed = False

    async def _receive(self, want: int) -> list[Any] | None:
        items = await super()._receive(want)
        if items is None and not self._is_flushing:
            self._is_flushing = True
            return [_FLUSH]
        return items

    def _call(self, chunk: Any) -> Any:
        transform = self._transform
        pushed = collect(transform)
        is_over = True
        try:
            given = transform.flush() if chunk is _FLUSH else transform.transform(chunk)
            if isgenerator(given) or isasyncgen(given):
                return given
            if isawaitable(given):
                is_over = False
                return self._awaited(given, pushed)
        finally:
            if is_over:
                end_of_call(transform)
        if given is not None:
            pushed.append(given)
        return pushed

    async def _awaited(self, given: Awaitable[Any], pushed: list[Any]) -> Iterable[Any]:
        try:
            result = await given
        finally:
            end_of_call(self._transform)
        if result is not None:
            pushed.append(result)
        return pushed

    async def _settle(
        self, policy: Policy, item: object, error: Exception, position: int
    ) -> Exception | None:
        # There is no item that could be let go.
        return error if item is _FLUSH else await super()._settle(policy, item, error, position)

    def _fail(self, error: BaseException, position: int | None, out: list[Any]) -> list[Any]:
        if self._is_flushing:
            error.add_note("penstock: raised by flush")
            position = None
        return super()._fail(error, position, out)

    async def close(self) -> None:
        await super().close()
        if not self._is_closed:
            self._is_closed = True
            closing = self._transform.close()
            if isawaitable(closing):
                await closing


class ByteBuffer(Head):
    """The stages before run ahead, by at most `max_bytes` and the chunk in their hands.

    What was handed on counts until more is asked for, so at most half is handed on in one go.
    """

    def __init__(self, name: str, upstream: Step, max_bytes: int) -> None:
        super().__init__(name, upstream)
        self._upstream = upstream
        self._max_bytes = max_bytes
        self._chunks: deque[Any] = deque()
        self._bytes = 0
        """Of what waits and what was handed on."""
        self._handed = 0
        self._is_finished = False
        self._error: BaseException | None = None
        self._moved = anyio.Event()

    async def feed(self) -> None:
        await drive(self._upstream, 1, self._deliver, self._finish)

    async def pull(self, want: int) -> list[Any] | None:
        if self._handed:
            self._bytes -= self._handed
            self._handed = 0
            self._wake()
        self.occupation.waiting = "upstream"
        try:
            while not self._chunks:
                if self._is_finished:
                    if self._error is not None:
                        # A cancel that ended the sender may be on its way here: it goes first.
                        await anyio.lowlevel.checkpoint()
                        raise self._error
                    return None
                await self._move()
        finally:
            self.occupation.waiting = None
        chunks = self._chunks
        out = [chunks.popleft()]
        self._handed = len(out[0])
        while len(out) < want and chunks and self._handed + len(chunks[0]) <= self._max_bytes // 2:
            self._handed += len(chunks[0])
            out.append(chunks.popleft())
        return self._emit(out)

    async def close(self) -> None:
        self._finish(left(self))

    def buffered(self) -> int:
        return len(self._chunks)

    async def _deliver(self, chunks: list[Any]) -> None:
        for chunk in chunks:
            self.tally.items_in += 1
            size = len(chunk)
            # One that is larger than all the room has it for itself.
            while self._bytes and self._bytes + size > self._max_bytes:
                await self._move()
            if self._is_finished:
                raise Closed(f"{self.label}: nobody takes any more")
            self._chunks.append(chunk)
            self._bytes += size
            self._wake()

    def _finish(self, error: BaseException | None = None) -> None:
        if not self._is_finished:
            self._is_finished, self._error = True, error
            self._wake()

    async def _move(self) -> None:
        """Wait until the other side has done something."""
        await self._moved.wait()

    def _wake(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
