"""`Cached`: answers to queries that are remembered, until a command or an event says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from penstock import _clock as clock
from penstock.cqrs.behaviour import Next
from penstock.cqrs.handler import Handler
from penstock.cqrs.message import Command, named
from penstock.cqrs.resolver import given_scope
from penstock.cqrs.unit import current_unit
from penstock.errors import Misuse
from penstock.resilience import Cache
from penstock.resilience.cache import CachePart
from penstock.resilience.events import Reporter
from penstock.resilience.strategy import Place

__all__ = ("Cached",)

_MISSING: Any = object()


class Cached:
    """Remembers what queries were answered with; those who ask at once share one answer.

    As the strategy `Cache`, whose rules it has: a load belongs to none of those who wait for it,
    and an answer is handed out as it is, not copied. What it must not outlive is told by
    `forget`, or by `forgotten_by` in a command's chain. A query that needs its own answer is told;
    two that need each other, asked at the same moment, wait for each other until a deadline.

    Args:
        ttl: seconds for which an answer is fresh.
        stale: seconds after that in which it is still handed out, while one load renews it.
        key: a function of the query that gives its key; by default the query itself, which has to
            compare by its fields and be hashable (a frozen dataclass, a frozen Struct).
        max_items: beyond that, what has not been asked for lately goes.

    Raises Misuse for values out of range, and where it is used for a query without a key or for a
    command.

    Example:
        >>> cached = Cached(60.0, key=lambda query: query.number)
        >>> cached
        Cached(60.0)

    """

    def __init__(
        self,
        ttl: float,
        *,
        stale: float = 0.0,
        key: Callable[[Any], Hashable] | None = None,
        max_items: int = 1024,
    ) -> None:
        cache = Cache(ttl, stale=stale, key=key, max_items=max_items)
        self._part = CachePart(cache, Place("cached", "", Reporter("cached", "", "Cache")))
        self._key = key
        self._ttl = ttl

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        kind, key_of = handler.kind, self._key
        if isinstance(kind, type) and issubclass(kind, Command):
            raise Misuse(
                f"{self!r}: {named(kind)} is a command, which has to happen each time",
                hint="Idempotent(key=…) is for commands that come twice; or use(…, only=queries)",
            )
        if key_of is None and isinstance(kind, type):
            _check_key(kind, self)
        part, now = self._part, clock.now
        entries, ask = part.entries, part.ask

        async def load(_fn: Any, args: tuple[Any, ...], _keywords: Any) -> Any:
            given_scope.set(None)  # the leader's may be closed before this is done
            return await next(args[0])

        async def cached(message: Any) -> Any:
            key = (kind, message if key_of is None else key_of(message))
            try:
                entry = entries.get(key)
            except TypeError as error:
                raise Misuse(
                    f"{self!r} cannot remember {named(kind)}: {error}",
                    hint="Cached(key=…) makes a key of it",
                ) from None
            if entry is not None and entry.fresh_until > now() and entry.error is None:
                entry.is_asked_for = True
                return entry.value
            return await ask(key, load, None, (message,), {})

        return cached

    def forget(self, *queries: Any) -> None:
        """Ask anew for these queries, or for all without any. Any thread may call it.

        What is being loaded just now is still told to those who wait for it, and not remembered.
        For a query that was registered by name give `("name", key)`.
        """
        if not queries:
            self._part.forget()
        for each in queries:
            if isinstance(each, tuple):
                self._part.forget(each)
            else:
                key = each if self._key is None else self._key(each)
                self._part.forget((type(each), key))

    def forgotten_by(
        self, queries: Callable[[Any], Any | Iterable[Any]] | None = None
    ) -> Forgetting:
        """A behaviour for commands: once one is done and committed, these queries are asked anew.

        `queries` is given the command and returns a query or several; without it all are forgotten.
        """
        if queries is not None and not callable(queries):
            raise Misuse(
                f"{self!r}: forgotten_by({queries!r}) is no function of the command",
                hint="forgotten_by(lambda command: GetUser(command.number))",
            )
        return Forgetting(self, queries)

    def __repr__(self) -> str:
        return f"Cached({self._ttl})"


class Forgetting:
    """What `Cached.forgotten_by` returns."""

    def __init__(self, cached: Cached, queries: Callable[[Any], Any] | None) -> None:
        self._cached = cached
        self._queries = queries

    def wrap(self, handler: Handler, next: Next, /) -> Next:  # noqa: ARG002
        """See `Behaviour`."""

        async def forgetting(message: Any) -> Any:
            try:
                return await next(message)
            finally:
                # Also behind a failure: it may have happened all the same.
                unit = current_unit.get()
                if unit is not None and not unit.is_over:
                    # Whoever asked before the commit would remember what was there before it.
                    unit.after(lambda: self._forget(message))
                else:
                    self._forget(message)

        return forgetting

    def _forget(self, message: Any) -> None:
        if self._queries is None:
            self._cached.forget()
            return
        queries = self._queries(message)
        several = isinstance(queries, Iterable) and not isinstance(queries, (str, bytes, tuple))
        self._cached.forget(*(queries if several else (queries,)))

    def __repr__(self) -> str:
        return f"forgets {self._cached!r}"


def _check_key(kind: type, cached: Cached) -> None:
    if kind.__hash__ is None:
        raise Misuse(
            f"{cached!r}: a {named(kind)} cannot be a key: it is not hashable",
            hint="make it frozen, or give Cached(key=…)",
        )
    if getattr(kind, "__eq__", None) is object.__eq__:
        raise Misuse(
            f"{cached!r}: two {named(kind)} are never equal, so nothing would be remembered",
            hint="make it a frozen dataclass, or give Cached(key=…)",
        )
