"""`Cache`: answers that are remembered, and loaded by one caller for all."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock import _clock as clock
from penstock.errors import Misuse

from .flight import AsyncFlight, BlockingFlight, GivenUp, aboard_of
from .strategy import Part, Place, Strategy, check_count, check_number
from .weave_text import NOW
from .which import Which, check_which, takes

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Cache",)


@dataclass(frozen=True, slots=True)
class Cache(Strategy):
    """Remembers results; callers who miss the same key at once share one load.

    The load belongs to none of them: whoever is cancelled leaves the others waiting for it, and
    only when the last has gone is it cancelled as well. In blocking calls the first caller loads,
    and the others wait for it. Results are handed out as they are, not copied.

    Args:
        ttl: seconds for which a result is fresh.
        stale: seconds after that in which it is still handed out, while one load in the background
            renews it (in blocking calls: while the caller who came first renews it). If the load
            fails, the old result stays until its time is over.
        negative_ttl: seconds for which a failure is remembered and raised again; 0 never.
        negative_on: the exceptions that are remembered so, or a function that decides.
        key: a function of the call's arguments; by default all of them, which must be hashable.
        max_items: beyond that, what has not been asked for lately goes.

    Raises Misuse for a value out of range.

    """

    ttl: float
    stale: float = 0.0
    negative_ttl: float = 0.0
    negative_on: Which = Exception
    key: Callable[..., Hashable] | None = None
    max_items: int = 1024

    is_for_blocks = False
    is_for_streams = False

    def __post_init__(self) -> None:
        check_number("Cache", "ttl", self.ttl, above=True)
        check_number("Cache", "stale", self.stale)
        check_number("Cache", "negative_ttl", self.negative_ttl)
        check_which("Cache", "negative_on", self.negative_on)
        if self.key is not None and not callable(self.key):
            raise Misuse(f"Cache: key={self.key!r} is not a function")
        check_count("Cache", "max_items", self.max_items, 1)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return CachePart(self, place)


class Entry:
    """A result, or a failure, and how long it is good for."""

    __slots__ = ("error", "fresh_until", "is_asked_for", "stale_until", "value")

    def __init__(
        self, value: Any, error: Exception | None, fresh_until: float, stale_until: float
    ) -> None:
        self.value = value
        self.error = error
        self.fresh_until = fresh_until
        self.stale_until = stale_until
        self.is_asked_for = False


class _Miss:
    fresh_until = -math.inf


_MISS = _Miss()


class CachePart(Part):
    """The entries of one key of a policy; of all functions that it is used for."""

    def __init__(self, cache: Cache, place: Place) -> None:
        self.cache = cache
        self.place = place
        self.entries: dict[Hashable, Any] = {}
        self._flights: dict[Hashable, Any] = {}
        # Guards the flights and evictions; a fresh entry is found without it.
        self._lock = threading.Lock()

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """A hit is a lookup in a dict; all else is in `ask`."""
        inner = code.cut(body)
        key, entry, now = code.local("key"), code.local("entry"), code.local("now")
        entries = code.bind("entries", self.entries)
        if self.cache.key is not None:
            made = f"(fn, {code.bind('key_of', self.cache.key)}(*args, **kwargs))"
        else:
            made = f"(fn, args) if not kwargs else {code.bind('with_names', _with_names)}"
            made += "(fn, args, kwargs)"
        ask = self.ask if code.is_async else self.ask_blocking
        hashable = code.bind("unhashable", self.unhashable)
        return [
            f"{key} = {made}",
            f"{now} = {NOW}",
            "try:",
            f"    {entry} = {entries}.get({key}, {code.bind('miss', _MISS)})",
            "except TypeError as error:",
            f"    raise {hashable}(error) from None",
            f"if {entry}.fresh_until > {now} and {entry}.error is None:",
            f"    {entry}.is_asked_for = True",
            f"    value = {entry}.value",
            "else:",
            f"    value = {code.wait}{code.bind('ask', ask)}({key}, {inner}, fn, args, kwargs)",
        ]

    def unhashable(self, error: TypeError) -> Misuse:
        """Makes the error for arguments that cannot be a key."""
        return Misuse(
            f"policy {self.place.policy!r}: Cache cannot remember a call by its arguments: {error}",
            hint="Cache(key=lambda *args, **kwargs: ...) makes a key of them",
        )

    async def ask(
        self, key: Hashable, inner: Callable[..., Any], fn: Any, args: Any, kwargs: Any
    ) -> Any:
        """The answer for what is not fresh."""
        while True:
            with self._lock:
                entry = self._usable(key)
                flight: Any = self._flights.get(key)
                if flight is not None and flight.is_stranded:
                    flight.strand()
                    flight = None
                is_leader = flight is None and (entry is None or entry.fresh_until <= clock.now())
                if is_leader:
                    flight = AsyncFlight(lambda: inner(fn, args, kwargs), self._landing(key))
                    self._flights[key] = flight
                if entry is None:
                    if flight in aboard_of.get():
                        raise self._own_result()
                    flight.board()
            if is_leader:
                self._start(flight, is_owned=entry is None)
            if entry is not None:
                return _told(entry)
            try:
                return await flight.land()
            except GivenUp:
                continue

    def forget(self, key: Hashable = None) -> None:
        """Have one key, or all, asked for anew; a load under way is not remembered."""
        with self._lock:
            if key is None:
                self.entries.clear()
                self._flights.clear()
            else:
                self.entries.pop(key, None)
                self._flights.pop(key, None)

    def _start(self, flight: AsyncFlight, *, is_owned: bool) -> None:
        self.place.report("missed" if is_owned else "revalidating")
        try:
            flight.start(is_owned=is_owned)
        except BaseException as error:  # no loop to run in: nobody may wait for it
            flight.fail(error)
            raise

    def ask_blocking(
        self, key: Hashable, inner: Callable[..., Any], fn: Any, args: Any, kwargs: Any
    ) -> Any:
        """The same for threads: the first one loads."""
        while True:
            with self._lock:
                entry = self._usable(key)
                flight: Any = self._flights.get(key)
                is_leader = flight is None and (entry is None or entry.fresh_until <= clock.now())
                if is_leader:
                    flight = self._flights[key] = BlockingFlight()
            if is_leader:
                self.place.report("missed" if entry is None else "revalidating")
                try:
                    return flight.fly(lambda: inner(fn, args, kwargs), self._landing(key))
                except Exception as error:
                    if entry is None or entry.error is not None:
                        raise
                    self.place.report("kept_stale", error=error)
                    return entry.value
            if entry is not None:
                return _told(entry)
            if flight.thread == threading.get_ident():
                raise self._own_result()
            is_over, value = flight.land()
            if is_over:
                return value
            # Whoever loaded was interrupted: one of those who wait takes over.

    def _own_result(self) -> Misuse:
        return Misuse(
            f"policy {self.place.policy!r}: a load waits for its own result",
            hint="what is cached has called itself with the same arguments",
        )

    def _usable(self, key: Hashable) -> Entry | None:
        entry: Entry | None = self.entries.get(key)
        if entry is None:
            return None
        if entry.stale_until <= clock.now():
            self.entries.pop(key, None)
            return None
        entry.is_asked_for = True
        return entry

    def _landing(self, key: Hashable) -> Callable[[Any, Any, BaseException | None], None]:
        def landed(flight: Any, value: Any, error: BaseException | None) -> None:
            cache = self.cache
            now = clock.now()
            entry = None
            try:
                if error is None:
                    fresh_until = now + cache.ttl
                    entry = Entry(value, None, fresh_until, fresh_until + cache.stale)
                elif (
                    cache.negative_ttl
                    and isinstance(error, Exception)
                    and takes(cache.negative_on, error)
                ):
                    until = now + cache.negative_ttl
                    entry = Entry(None, _kept(error), until, until)
            finally:
                # Also when a user's predicate raises: nobody may find a flight that is over.
                self._land(key, flight, entry, now)

        return landed

    def _land(self, key: Hashable, flight: Any, entry: Entry | None, now: float) -> None:
        with self._lock:
            if self._flights.get(key) is not flight:
                return  # it was stranded, and another has taken its place
            del self._flights[key]
            old = self.entries.get(key)
            is_usable = old is not None and old.error is None and old.stale_until > now
            if entry is not None and not (entry.error is not None and is_usable):
                self.entries.pop(key, None)
                self.entries[key] = entry
                self._evict()

    def _evict(self) -> None:
        # In order of arrival, with a second chance for what was asked for: as good as least
        # recently used in practice, and a hit writes one flag instead of moving its entry.
        entries = self.entries
        while len(entries) > self.cache.max_items:
            key = next(iter(entries))
            entry = entries.pop(key)
            if entry.is_asked_for:
                entry.is_asked_for = False
                entries[key] = entry


def _with_names(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    return (fn, args, tuple(sorted(kwargs.items())))


def _told(entry: Entry) -> Any:
    if entry.error is None:
        return entry.value
    raise _kept(entry.error)


def _kept(error: Exception) -> Exception:
    # An exception collects the traces and notes of all its raises: each caller gets one of its own.
    try:
        kept = copy.copy(error)
    except Exception:
        kept = error
    if type(kept) is not type(error):
        kept = error
    return kept.with_traceback(None)
