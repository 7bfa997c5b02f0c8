"""`Idempotent`: a command that comes twice happens once, and both are told the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

from penstock._durable.codec import JsonCodec
from penstock.cqrs.behaviour import Next
from penstock.cqrs.handler import Handler
from penstock.cqrs.log import engine
from penstock.cqrs.message import Command, named, result_of
from penstock.cqrs.resolver import given_scope
from penstock.cqrs.unit import current_unit
from penstock.errors import Conflict, Misuse
from penstock.outbox.transactions import Transaction, check_connection, check_transaction
from penstock.resilience import Cache
from penstock.resilience.cache import CachePart
from penstock.resilience.events import Reporter
from penstock.resilience.strategy import Place

__all__ = ("Answers", "Idempotent")

_MOST = 100_000


class Answers:
    """The first answers, in a table of the file that the commands write to; see `Idempotent`.

    Kept for as long as anybody may send a command again: `forget` removes what is older.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name or len(name) > 200:
            raise Misuse(f"Answers({name!r}): no name", hint="1 to 200 characters")
        self.name = name

    def create_tables(self, connection: Transaction) -> None:
        """Make the table, or bring it to this version; as `Outbox.create_tables`."""
        check_connection(connection, repr(self))
        engine().create_tables(connection, repr(self))

    def forget(self, connection: Transaction, *, older_than: float, limit: int = 1000) -> int:
        """Remove at most `limit` answers of before `older_than` seconds; how many."""
        check_transaction(connection, repr(self))
        if not isinstance(older_than, (int, float)) or not 0 <= older_than < math.inf:
            raise Misuse(f"{self!r}: older_than={older_than!r} is no time", hint="give seconds")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
            raise Misuse(f"{self!r}: limit={limit!r}", hint=f"give 1 to {_MOST}")
        return int(engine().forget_answers(connection, self.name, float(older_than), limit))

    def __repr__(self) -> str:
        return f"Answers({self.name!r})"


class Idempotent:
    """Lets a command with a known key not happen again: it is answered as the first one was.

    The key is the sender's (a header, an id of the form that was sent), not made up on the way. One
    that comes while the first is under way waits for it. A command that fails leaves no answer, and
    may be tried again. The same key with another message raises Conflict.

    Args:
        key: a function of the message; None from it lets a command through as it is.
        answers: an `Answers`, whose table is written in the command's unit of work, so that answer
            and effect are committed together: put `Transactional` outside of it. Without it answers
            are kept in this process's memory: put `Transactional` inside of it.
        ttl: seconds for which they are kept in memory.
        max_items: how many are kept in memory; beyond that the oldest go.

    """

    def __init__(
        self,
        key: Callable[[Any], str | None],
        *,
        answers: Answers | None = None,
        ttl: float = 3600.0,
        max_items: int = 10_000,
    ) -> None:
        if not callable(key):
            raise Misuse(
                f"Idempotent({key!r}): key is no function of the message",
                hint="Idempotent(key=lambda command: command.request_id)",
            )
        if answers is not None and not isinstance(answers, Answers):
            raise Misuse(f"Idempotent: answers={answers!r}", hint='answers=Answers("orders")')
        self._key = key
        self._answers = answers
        self._cache = Cache(ttl, max_items=max_items)

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        if self._answers is None:
            return self._in_memory(handler, next)
        return self._in_a_table(handler, next, self._answers)

    def _in_memory(self, handler: Handler, next: Next) -> Next:
        if (
            isinstance(handler.kind, type)
            and getattr(handler.kind, "__eq__", None) is object.__eq__
        ):
            raise Misuse(
                f"{self!r}: two {named(handler.kind)} are never equal, so none could be told to be "
                "the same again",
                hint="make it a dataclass",
            )
        part = CachePart(self._cache, Place("idempotent", "", Reporter("idempotent", "", "Cache")))
        key_of, kind = self._key, handler.kind

        async def load(_fn: Any, args: tuple[Any, ...], _keywords: Any) -> Any:
            message = args[0]
            given_scope.set(None)  # the leader's may be closed before this is done
            try:
                return message, await next(message)
            except BaseException as error:
                # In a task of its own, which nobody waits for any more: what was committed when
                # it was cancelled is answered to whoever sends it again.
                if hasattr(error, "committed"):
                    return message, error.committed
                raise

        async def once(message: Any) -> Any:
            key = checked_key(key_of(message), kind)
            if key is None:
                return await next(message)
            unit = current_unit.get()
            if unit is not None and not unit.is_over:
                raise Misuse(
                    f"{self!r}: {named(kind)} runs in a unit of work, which may be rolled back "
                    "when its answer is remembered already",
                    hint="use(Idempotent(…), Transactional(units)), in this order; or answers=",
                )
            first, answer = await part.ask(key, load, None, (message,), {})
            if first is not message and first != message:
                raise _other(kind, key)
            return answer

        return once

    def _in_a_table(self, handler: Handler, next: Next, answers: Answers) -> Next:
        key_of, kind, name = self._key, handler.kind, answers.name
        wanted = result_of(kind, Command) if isinstance(kind, type) else None
        result_codec = JsonCodec(type(None) if wanted is type(None) else wanted)
        message_codec = JsonCodec()

        async def once(message: Any) -> Any:
            key = checked_key(key_of(message), kind)
            if key is None:
                return await next(message)
            unit = current_unit.get()
            if unit is None or unit.is_over:
                raise Misuse(
                    f"{self!r}: no unit of work is open for {named(kind)}",
                    hint="use(Transactional(units), Idempotent(…)), in this order",
                )
            database, connection = engine(), unit.connection
            whole = f"{plain_name(kind)}:{key}"
            told = fingerprint(message_codec, message)
            found = database.answer(connection, name, whole)
            if found is not None:
                if bytes(found[0]) != told:
                    raise _other(kind, key)
                return result_codec.decode(bytes(found[1]))
            answer = await next(message)
            try:
                kept = result_codec.encode(answer)
                again = result_codec.decode(kept)
            except (TypeError, ValueError) as error:
                raise Misuse(
                    f"{self!r}: what {handler.label} returned cannot be kept: {error}",
                    hint="return plain data or a dataclass of it",
                ) from error
            if again != answer:
                raise Misuse(
                    f"{self!r}: {handler.label} returned {answer!r}, and who sends it again would "
                    f"be told {again!r}",
                    hint="say what it is answered with: Command[Receipt]; names have plain data",
                )
            database.keep(connection, name, whole, told, kept)
            return answer

        return once

    def __repr__(self) -> str:
        return f"Idempotent({self._answers!r})" if self._answers else "Idempotent()"


def fingerprint(codec: JsonCodec, message: Any) -> bytes:
    """What tells two messages apart, without keeping them."""
    dump = getattr(message, "model_dump", None)
    fields = dump(mode="json") if dump is not None else message
    try:
        encoded = codec.encode(fields)
    except (TypeError, ValueError) as error:
        raise Misuse(
            f"a {type(message).__qualname__} cannot be told from others: {error}",
            hint="make it a dataclass, a Struct or a pydantic model of plain data",
        ) from error
    return hashlib.sha256(encoded).digest()


def checked_key(key: object, kind: Any) -> str | None:
    """The key of a message. Raises Misuse for what is neither a text nor None."""
    if key is None or (isinstance(key, str) and key):
        return key
    raise Misuse(
        f"Idempotent: the key of {named(kind)} is {key!r}", hint="a text that is not empty, or None"
    )


def plain_name(kind: Any) -> str:
    """A name that stays the same from one process to the next."""
    return kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def _other(kind: Any, key: str) -> Conflict:
    return Conflict(
        f"{named(kind)}: the key {key!r} was used for another message",
        hint="a key belongs to one command; send the same again, or take a new key",
    )
