"""`Projection`: a read model that is kept from events, and can be built from them again."""

from __future__ import annotations

import importlib
import inspect
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

from penstock import _clock as clock
from penstock._durable.codec import Codec, JsonCodec
from penstock.errors import Conflict, Misuse

from .log import SEQ, EventLog
from .projection_state import ProjectionState
from .sqlite import Sqlite
from .unit import UnitOfWork, topic_of
from .view import View

__all__ = ("Projection",)

E = TypeVar("E")
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_JSON = JsonCodec()


@dataclass(frozen=True, slots=True)
class _Route:
    fn: Callable[[View, Any], object]
    codec: Codec
    type: Any

    def decoded(self, data: Any) -> Any:
        """What was sent as plain data, as the type that the handler wants."""
        if self.type is None or (isinstance(self.type, type) and isinstance(data, self.type)):
            return data
        return self.codec.decode(_JSON.encode(data))


class _Failed(Exception):
    """What a handler raised, and how many events before it went well."""

    def __init__(self, done: int, error: Exception) -> None:
        super().__init__(done)
        self.done = done
        self.error = error


class Projection:
    """Tables for reading, kept from the events of a log; each event once, in the log's order.

    The position is written in the transaction of the rows, so neither a crash nor an event that
    comes twice is ever seen in the tables. `rebuild()` makes them anew beside the old ones, which
    go on being read, and switches.

    Args:
        name: of the projection.
        log: the `EventLog` that it follows, in the same file or, with `source`, in another; or the
            name of one that it cannot read and is sent the events of (`apply`).
        units: the file with its tables.
        tables: their columns by their names, as in CREATE TABLE.
        indexes: by table: what to index, such as `"name, created_at"`.
        version: raise it when handlers or tables change: the tables then need a `rebuild()`.
        source: a function that connects to the log's file, where that is another one.
        after: the place in the log that it begins behind.
        batch: events in one transaction.

    Handlers are plain functions of a `View` and the event; they run on the thread of `units`, may
    be run again, and touch nothing but the view. Any event loop may call. Raises Misuse for
    arguments that cannot work.

    Example:
        >>> log, units = EventLog("users"), Sqlite("users.db")
        >>> names = Projection(
        ...     "names", log, units, tables={"names": "id TEXT PRIMARY KEY, name TEXT NOT NULL"}
        ... )
        >>> @names.on("user.created")
        ... def created(view: View, event: dict) -> None:
        ...     view.execute("INSERT INTO {names} VALUES (?, ?)", (event["id"], event["name"]))

    """

    def __init__(
        self,
        name: str,
        log: EventLog | str,
        units: Sqlite,
        *,
        tables: Mapping[str, str],
        indexes: Mapping[str, Sequence[str]] | None = None,
        version: str = "1",
        source: Callable[[], sqlite3.Connection] | None = None,
        after: int = 0,
        batch: int = 500,
    ) -> None:
        if not isinstance(name, str) or not name or len(name) > 200:
            raise Misuse(f"a projection's name is {name!r}", hint="1 to 200 characters")
        self.name = name
        if not isinstance(log, (str, EventLog)) or not log:
            self._refuse(f"log={log!r} is none", 'EventLog("orders"), or the name of one')
        if not isinstance(units, Sqlite):
            self._refuse(f"units={units!r}", 'Sqlite("orders.db")')
        if not tables or not all(isinstance(each, str) and each for each in tables.values()):
            self._refuse(f"tables={tables!r}", 'tables={"users": "id TEXT PRIMARY KEY"}')
        if any(re.search(r"\bREFERENCES\b", each, re.IGNORECASE) for each in tables.values()):
            self._refuse(
                "its tables refer to others, and a rebuild puts new ones in their place",
                "leave REFERENCES out: the events were checked when they happened",
            )
        for table in [*tables, *(indexes or {})]:
            if not _NAME.match(table) or table not in tables:
                self._refuse(f"{table!r} is no name of a table", "letters, digits, underscores")
        if source is not None and (not callable(source) or isinstance(log, str)):
            self._refuse("source= connects to the file of an EventLog", "log=EventLog(…)")
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 100_000:
            self._refuse(f"batch={batch!r}", "give 1 to 100000")
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            self._refuse(f"after={after!r} is no place", "a whole number from 0")
        if not isinstance(version, str) or not version:
            self._refuse(f"version={version!r}", 'a text: version="2"')
        self.version = version
        self._log = log if isinstance(log, EventLog) else None
        self._feed = log if isinstance(log, str) else log.name
        self._units = units
        self._tables = dict(tables)
        self._indexes = {table: tuple(each) for table, each in (indexes or {}).items()}
        self._source = source
        self._after = after
        self._batch = batch
        self._routes: dict[str, _Route] = {}

    def __repr__(self) -> str:
        return f"<Projection {self.name!r}>"

    # -- definition --------------------------------------------------------------------------

    def on(
        self, event: type[E] | str, *, type: Any = None
    ) -> Callable[[Callable[[View, E], object]], Callable[[View, E], object]]:
        """Decorates the handler of a class of events, or of a topic.

        `type` is what a topic's payload is decoded to; plain JSON data without it. Raises Misuse
        for a second handler and for a type that cannot be decoded.
        """
        is_class = not isinstance(event, str)
        topic = topic_of(event) if isinstance(event, _type) else event
        if not isinstance(topic, str) or not topic:
            self._refuse(f"on({event!r}) is neither a class nor a topic", 'on("user.created")')
        wanted = event if is_class else type
        own = None if self._log is None else self._log.codec
        is_own = own is not None and (wanted is None or not isinstance(own, JsonCodec))
        codec: Codec = own if is_own and own is not None else JsonCodec(wanted)

        def register(fn: Callable[[View, E], object]) -> Callable[[View, E], object]:
            if not callable(fn) or inspect.iscoroutinefunction(fn):
                self._refuse(f"{fn!r} is no plain function", "`def handler(view, event)`: SQL only")
            try:
                inspect.signature(fn).bind(None, None)
            except TypeError:
                self._refuse(f"{fn!r} does not take a view and an event", "`def fn(view, event)`")
            if topic in self._routes:
                self._refuse(f"{topic!r} has a handler already", "one for each")
            self._routes[topic] = _Route(fn, codec, wanted)
            return fn

        return register

    def create_tables(self, connection: sqlite3.Connection) -> None:
        """Make its tables, if they are not there; as `Outbox.create_tables`."""
        _engine().create(
            connection, self.name, self.version, self._after, self._tables, self._indexes
        )

    # -- keeping up --------------------------------------------------------------------------

    async def catch_up(self) -> int:
        """Work through what the log has and the tables do not; how many events that was.

        In transactions of `batch` events. What a handler raises comes out, with a note that names
        the event; those before it are kept. Raises Misuse for tables of another `version`, and
        Conflict if the log has forgotten what comes next.
        """
        log = self._readable()
        done = 0
        while True:
            try:
                count = await self._in_unit(partial(self._advance, log=log, limit=self._batch))
            except _Failed as failed:
                if failed.done:
                    await self._in_unit(partial(self._advance, log=log, limit=failed.done))
                raise failed.error from None
            done += count
            if count < self._batch:
                return done

    async def apply(self, event: Any) -> None:
        """Take one event as a `Relay` or a `MessageQueue` hands it over: give them this function.

        One that has been taken does nothing. One of a log that comes too early waits in a table for
        those before it; one that tells no place in a log counts by its id, in the order of arrival.
        If the log can be read, it is: what is sent only says that there is something new.
        """
        headers: Mapping[str, str] = getattr(event, "headers", None) or {}
        feed, _, seq = headers.get(SEQ, "").rpartition(":")
        if SEQ in headers and not (feed and seq.isdecimal() and int(seq)):
            self._refuse(f"{event!r} has {SEQ}: {headers[SEQ]!r}, which is no place", "log:number")
        if self._log is not None:
            await self.catch_up()
            return
        topic = getattr(event, "topic", None) or headers.get("topic")
        identity = getattr(event, "id", None)
        if not isinstance(topic, str) or not isinstance(identity, str):
            self._refuse(f"{event!r} has no topic and id", "give it what a Relay or a queue sends")
        route = self._routes.get(topic)
        data = None if route is None else route.decoded(event.data)
        payload = _JSON.encode(event.data)
        place = int(seq) if feed == self._feed else None
        await self._in_unit(lambda each: self._take(each, place, identity, topic, payload, data))

    async def notify(self, _event: object = None, /) -> None:
        """Catch up; a handler for an `EventBus`, whose events say that there is something new."""
        await self.catch_up()

    async def follow(self, *, every: float = 1.0) -> NoReturn:
        """Catch up now and every so many seconds, until cancelled; rebuilds what is outdated."""
        while True:
            if (await self.state()).is_outdated:
                await self.rebuild()
            await self.catch_up()
            await clock.sleep(every)

    async def rebuild(self) -> int:
        """Make the tables anew from the log's first event, and switch; how many events that was.

        The old tables are read and kept up meanwhile; writers wait for one batch at a time, and at
        the end for the switch. If it is cancelled or killed the old ones stay; the next rebuild
        removes what it has left. Raises Conflict if another one has begun meanwhile.

        """
        log = self._readable()
        shadow = await self._in_unit(self._begin_shadow)
        done = 0
        while True:
            count, is_over = await self._in_unit(lambda each: self._build(each, log, shadow))
            done += count
            if is_over:
                return done

    async def state(self) -> ProjectionState:
        """How far it has come; two short reads."""
        return await self._in_unit(self._state)

    # -- on the thread of the units ----------------------------------------------------------

    def _advance(self, connection: sqlite3.Connection, log: EventLog, limit: int) -> int:
        engine, place = _engine(), self._place(connection)
        events = self._read(connection, log, place.position, limit)
        if events and place.position > self._after and events[0].seq > place.position + 1:
            raise Conflict(
                f"{self!r}: events {place.position + 1} to {events[0].seq - 1} are gone from "
                f"{log!r}",
                hint="rebuild() begins with what is left; forget() no more than all have read",
            )
        view = View(connection, {table: table for table in self._tables})
        self._run(view, events)
        if events:
            last = events[-1].seq
            engine.advance(connection, self.name, last, last)
        return len(events)

    def _run(self, view: View, events: Sequence[Any]) -> None:
        for number, event in enumerate(events):
            route = self._routes.get(event.topic)
            if route is None:
                continue
            try:
                route.fn(view, route.codec.decode(event.payload))
            except Exception as error:
                error.add_note(f"{self!r}: at event {event.seq}, {event.topic!r}, id {event.id}")
                raise _Failed(number, error) from error

    def _take(
        self,
        connection: sqlite3.Connection,
        seq: int | None,
        identity: str,
        topic: str,
        payload: bytes,
        data: Any,
    ) -> None:
        engine, place = _engine(), self._place(connection)
        view = View(connection, {table: table for table in self._tables})
        route = self._routes.get(topic)
        if seq is None:
            if engine.first_seen(connection, self.name, identity) and route is not None:
                route.fn(view, data)
            return
        position = place.position
        if seq <= position:
            return
        if seq > position + 1:
            engine.put_ahead(connection, self.name, seq, topic, payload)
            engine.advance(connection, self.name, position, seq)
            return
        if route is not None:
            route.fn(view, data)
        position = seq
        while (found := engine.next_ahead(connection, self.name, position + 1)) is not None:
            position += 1
            route = self._routes.get(found[0])
            if route is not None:
                route.fn(view, route.decoded(_JSON.decode(bytes(found[1]))))
        engine.drop_ahead(connection, self.name, position)
        engine.advance(connection, self.name, position, position)

    def _begin_shadow(self, connection: sqlite3.Connection) -> int:
        self._place(connection, is_any_version=True)
        shadow: int = _engine().begin_shadow(
            connection, self.name, self._after, self._tables, self._indexes
        )
        return shadow

    def _build(
        self, connection: sqlite3.Connection, log: EventLog, shadow: int
    ) -> tuple[int, bool]:
        engine, place = _engine(), self._place(connection, is_any_version=True)
        if place.shadow != shadow:
            raise Conflict(
                f"{self!r}: another rebuild has begun", hint="one at a time; wait for that one"
            )
        events = self._read(connection, log, place.shadow_position, self._batch)
        try:
            self._run(View(connection, engine.shadow_names(self._tables, shadow)), events)
        except _Failed as failed:
            raise failed.error from None
        if events:
            engine.advance_shadow(connection, self.name, events[-1].seq)
        is_over = len(events) < self._batch
        if is_over:
            engine.switch(connection, self.name, self.version, self._tables)
        return len(events), is_over

    def _state(self, connection: sqlite3.Connection) -> ProjectionState:
        engine, place = _engine(), self._place(connection, is_any_version=True)
        last: int = place.seen
        if self._log is not None:
            last = self._at_source(connection, self._log.last)
        return ProjectionState(
            place.position,
            last,
            engine.count_ahead(connection, self.name),
            place.shadow is not None,
            place.version != self.version,
        )

    def _place(self, connection: sqlite3.Connection, *, is_any_version: bool = False) -> Any:
        place = _engine().place(connection, self.name)
        if place is None:
            raise Misuse(
                f"{self!r}: this database has no tables of it",
                hint="call its create_tables(connection) once, where you make your own tables",
            )
        if place.version != self.version and not is_any_version:
            raise Misuse(
                f"{self!r}: its tables are of version {place.version!r}, and its handlers of "
                f"{self.version!r}",
                hint="await projection.rebuild()",
            )
        return place

    def _read(self, connection: Any, log: EventLog, after: int, limit: int) -> list[Any]:
        return self._at_source(connection, lambda each: log.read(each, after=after, limit=limit))

    def _at_source(self, connection: Any, read: Callable[[Any], R]) -> R:
        if self._source is None:
            return read(connection)
        opened = self._source()
        try:
            return read(opened)
        finally:
            opened.close()

    # -- the rest ----------------------------------------------------------------------------

    async def _in_unit(self, fn: Callable[[sqlite3.Connection], R]) -> R:
        async def work(unit: UnitOfWork[sqlite3.Connection]) -> R:
            return await unit.run(fn)

        return await self._units.transact(work)

    def _readable(self) -> EventLog:
        if self._log is None:
            self._refuse(
                f"the log {self._feed!r} cannot be read from here",
                "give the EventLog and source= where its file can be opened; what is sent only "
                "goes on from where it is",
            )
        return self._log

    def _refuse(self, complaint: str, hint: str) -> NoReturn:
        raise Misuse(f"projection {self.name!r}: {complaint}", hint=hint)


_type = type  # `on` has an argument of that name


def _engine() -> Any:
    return importlib.import_module("penstock.engines.sqlite.projections")
