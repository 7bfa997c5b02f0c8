"""Asks the refund desk: one connection, any number of requests under way, answers by number.

A request that was not answered when the connection broke is sent again on the next one; its
idempotency key makes that harmless.
"""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ("DeskBusy", "DeskClient", "DeskError", "DeskFailed", "RefundDeclined")

_LONGEST_ANSWER = 65_536
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_BROKEN = (
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.IncompleteRead,
    anyio.EndOfStream,
)


class DeskError(Exception):
    """Nothing is known of the refund: ask again, with the same key."""


class DeskBusy(DeskError):
    """The desk has no time; nothing happened. Ask again, same key."""


class DeskFailed(DeskError):
    """The desk could not write it down, so it has not paid."""


class RefundDeclined(Exception):
    """The desk does not pay, however often it is asked."""


@dataclass(eq=False, slots=True)
class _Call:
    line: bytes
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: dict[str, Any] | None = None
    """None once answered means that the desk did not answer."""


class DeskClient:
    """An async context manager; belongs to one event loop, whose tasks share it.

    `patience` is for how many seconds the desk may be away before those who wait get a DeskError.
    A call that is cancelled may have been carried out, or still be: ask again with its key.
    """

    def __init__(self, socket: Path, *, patience: float = 10.0) -> None:
        self._socket = socket
        self._patience = patience
        self._numbers = count(1)
        self._waiting: dict[int, _Call] = {}
        self._outgoing: list[bytes] = []
        self._has_outgoing = anyio.Event()
        # Since when those who wait have heard nothing, and how often it was tried in vain.
        self._answered_at = 0.0
        self._failures = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(self._keep_connected)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._stack.__aexit__(kind, error, traceback)
        finally:
            self._give_up()

    async def refund(self, key: str, case: str, cents: int) -> None:
        """Have `cents` paid for `case`, once for each `key`.

        Raises RefundDeclined, DeskBusy, and DeskError.
        """
        await self._ask("refund", key, case, cents)

    async def reverse(self, key: str, case: str, cents: int) -> None:
        """Have a refund of `cents` taken back, once for each `key`; nothing if there was none.

        Raises DeskBusy, and DeskError.
        """
        await self._ask("reversal", key, case, cents)

    async def _ask(self, kind: str, key: str, case: str, cents: int) -> None:
        number = next(self._numbers)
        if not self._waiting:
            self._answered_at, self._failures = time.monotonic(), 0
        request = {"id": number, "kind": kind, "key": key, "case": case, "cents": cents}
        call = self._waiting[number] = _Call(json.dumps(request).encode() + b"\n")
        self._send(call)
        try:
            await call.answered.wait()
        finally:
            # Whatever is answered later finds no one with this number.
            self._waiting.pop(number, None)
        match call.answer:
            case {"answer": "paid" | "nothing"}:
                return
            case {"answer": "busy"}:
                raise DeskBusy("the refund desk is busy")
            case {"answer": "declined"}:
                raise RefundDeclined(f"the refund desk does not pay for {case}")
            case {"answer": "failed", "why": why}:
                raise DeskFailed(f"the refund desk could not do it: {why}")
            case _:
                raise DeskError(f"the refund desk at {self._socket} does not answer")

    def _send(self, call: _Call) -> None:
        self._outgoing.append(call.line)
        self._has_outgoing.set()

    def _give_up(self) -> None:
        for call in self._waiting.values():
            call.answered.set()
        self._waiting.clear()
        self._outgoing.clear()

    async def _keep_connected(self) -> None:
        while True:
            if not self._waiting:
                # What was left to send belongs to calls that were cancelled.
                self._outgoing.clear()
                self._has_outgoing = anyio.Event()
                await self._has_outgoing.wait()
            with suppress(*_BROKEN):
                await self._talk()
            if time.monotonic() - self._answered_at >= self._patience:
                self._give_up()
            await anyio.sleep(_PAUSES[min(self._failures, len(_PAUSES) - 1)])
            self._failures += 1

    async def _talk(self) -> None:
        """Connect, and send and receive until the connection breaks."""
        async with await anyio.connect_unix(self._socket) as stream:
            self._outgoing = [call.line for call in self._waiting.values()]
            async with anyio.create_task_group() as tasks:
                over = anyio.Event()
                tasks.start_soon(self._write, stream, over)
                await self._read(stream)
                over.set()
                self._has_outgoing.set()
                await stream.aclose()

    async def _write(self, stream: ByteStream, over: anyio.Event) -> None:
        """Send what there is until the connection is over; that it broke the reader finds out.

        Neither cancels the other: on asyncio a socket that becomes ready in the tick in which its
        waiter is cancelled has the loop complain of an invalid state.
        """
        with suppress(*_BROKEN):
            while not over.is_set():
                if self._outgoing:
                    lines, self._outgoing = self._outgoing, []
                    await stream.send(b"".join(lines))
                else:
                    self._has_outgoing = anyio.Event()
                    await self._has_outgoing.wait()

    async def _read(self, stream: ByteStream) -> None:
        """Hand out answers until the connection breaks, or says what is none."""
        lines = BufferedByteReceiveStream(stream)
        try:
            while True:
                answer = json.loads(await lines.receive_until(b"\n", _LONGEST_ANSWER))
                call = self._waiting.get(answer["id"])
                self._answered_at, self._failures = time.monotonic(), 0
                if call is not None:
                    call.answer = answer
                    call.answered.set()
        except (*_BROKEN, anyio.DelimiterNotFound, ValueError, TypeError, KeyError):
            return
