"""One message and its handler: what is called, and what its end means for the message.

Cancellation is never a failure. One that comes from outside leaves as it came, and the consumer
gives back what it held; one that the handler brought upon itself (it awaited something that others
had cancelled) postpones the message without counting the attempt.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from penstock import tracing
from penstock._durable.cancellation import is_cancelled_from_outside
from penstock._durable.headers import CONTENT_TYPE, TRACEPARENT, read_headers
from penstock.errors import Misuse

from .decisions import Reject, RetryLater
from .message import Message
from .store import Action, Claimed, Settlement

if TYPE_CHECKING:
    from penstock._durable.leases import Lease

    from .queue import MessageQueue

T = TypeVar("T")

_log = logging.getLogger("penstock.messages")
_tracer = tracing.Tracer("penstock.messages")


class Handling(Generic[T]):
    """Runs a handler over claimed messages, and says what becomes of each."""

    def __init__(
        self, queue: MessageQueue[T], handler: Callable[[Message[T]], Awaitable[object]]
    ) -> None:
        if not callable(handler):
            raise Misuse(
                f"message queue {queue.name!r}: handler {handler!r} cannot be called",
                hint="give an async function of one message",
            )
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise Misuse(
                f"message queue {queue.name!r}: handler {handler!r} is a generator function",
                hint="give an async function of one message",
            )
        self._queue = queue
        self._handler = handler

    async def handle(self, claim: Claimed, lease: Lease) -> Settlement:
        """Raises only cancellation, Misuse for a handler that is not async, and exits."""
        try:
            message = self._message(claim, lease)
        except Exception as error:
            # The bytes will not change, so no attempt can mend it.
            return _buried(claim, f"the payload cannot be decoded: {error}", error)
        try:
            awaitable = self._handler(message)
            if not isinstance(awaitable, Awaitable):
                raise _NotAsync
            if TRACEPARENT in message.headers:
                await self._traced(awaitable, message)
            else:
                await awaitable
        except _NotAsync:
            raise Misuse(
                f"message queue {self._queue.name!r}: handler {self._handler!r} returned "
                f"{awaitable!r}, nothing to await",
                hint="give an async function; a blocking one through anyio.to_thread.run_sync",
            ) from None
        except Exception as error:
            return self._failed(claim, _innermost(error))
        except anyio.get_cancelled_exc_class():
            if is_cancelled_from_outside():
                raise
            return self._postponed(claim, self._pause(claim), refund=True)
        return Settlement(Action.ACKNOWLEDGE, claim.seq, claim.fence, claim.key)

    async def _traced(self, awaitable: Awaitable[object], message: Message[T]) -> None:
        """One attempt, as a span of the trace that the message was enqueued in."""
        attributes: dict[str, object] = {
            "message.id": message.id,
            "message.attempt": message.attempt,
        }
        if message.key is not None:
            attributes["message.key"] = message.key
        parent = tracing.TraceContext.from_headers(message.headers)
        name = f"messages {self._queue.name}"
        with _tracer.span(name, attributes, parent=parent, kind="consumer"):
            await awaitable

    def _message(self, claim: Claimed, lease: Lease) -> Message[T]:
        headers = read_headers(claim.headers)
        expected = self._queue.codec.content_type
        if claim.headers is not None:
            found = headers.get(CONTENT_TYPE, "application/json")
            if found != expected:
                raise ValueError(f"it is {found}, and this queue decodes {expected}")
        data = self._queue.codec.decode(claim.payload)
        return Message(
            data,
            claim.id,
            claim.key,
            claim.attempt,
            headers,
            claim.fence,
            claim.enqueued_at,
            lease,
        )

    def _failed(self, claim: Claimed, error: Exception) -> Settlement:
        if isinstance(error, RetryLater):
            return self._postponed(claim, error.delay, refund=True)
        if isinstance(error, Reject):
            _log.warning("%s rejected message %s: %s", self._queue, claim.id, error.reason)
            return _buried(claim, error.reason, error)
        if claim.attempt >= self._queue.retry.attempts:
            reason = f"{type(error).__qualname__}: {error}"
            _log.warning(
                "%s gave up message %s after %d attempts: %s",
                self._queue,
                claim.id,
                claim.attempt,
                reason,
            )
            return _buried(claim, reason, error)
        return self._postponed(claim, self._pause(claim), refund=False)

    def _pause(self, claim: Claimed) -> float:
        return self._queue.retry.pause(claim.attempt, self._queue.random)

    @staticmethod
    def _postponed(claim: Claimed, delay: float, *, refund: bool) -> Settlement:
        return Settlement(
            Action.POSTPONE, claim.seq, claim.fence, claim.key, delay=delay, refund=refund
        )


class _NotAsync(Exception):
    pass


def _buried(claim: Claimed, reason: str, error: Exception) -> Settlement:
    text = "".join(traceback.format_exception(error))
    return Settlement(Action.BURY, claim.seq, claim.fence, claim.key, reason=reason, traceback=text)


def _innermost(error: Exception) -> Exception:
    """What a task group inside the handler has wrapped, if it was one exception alone."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
