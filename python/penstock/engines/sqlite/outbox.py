"""Outboxes on a database file: what `penstock.outbox.store` asks for, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock._durable.leases import Lease
from penstock._durable.writes import Kind, Write
from penstock.outbox.store import NOTHING, Answer, Counted, Dead, Found, Request, Stored

from . import outbox_tables as sql
from .session import SqliteSession

if TYPE_CHECKING:
    import sqlite3

    from .stores import OpenFile


class SqliteOutbox:
    """The store of one outbox."""

    migrations = sql.OUTBOX

    def __init__(self, file: OpenFile, outbox: str) -> None:
        self._file = file
        self._name = outbox
        self._outbox = 0
        self.writer = file.writer

    def attach(self) -> None:
        self._outbox = self.writer.call(Write(_ATTACH, self._name))

    def close(self) -> None:
        """Blocks until what was handed over is committed."""
        self._file.release()

    def look(self, request: Request) -> Write[Answer]:
        assert not request.published, "a look settles nothing"
        assert not request.buried, "a look settles nothing"
        return Write(_LOOK, (self._outbox, request))

    def exchange(self, request: Request) -> Write[Answer]:
        return Write(_EXCHANGE, (self._outbox, request))

    def retire(self, request: Request) -> Write[bool]:
        return Write(_RETIRE, (self._outbox, request))

    def renewal(self, lease: Lease) -> Write[bool]:
        return Write(_RENEW, (self._outbox, lease.owner, lease.seconds))

    def dead(self, after: int, limit: int) -> Write[list[Dead]]:
        return Write(_DEAD, (self._outbox, after, limit))

    def redrive(self, ids: Sequence[str]) -> Write[int]:
        return Write(_REDRIVE, (self._outbox, ids))

    def counts(self) -> Write[Counted]:
        return Write(_COUNT, self._outbox)


def _attach(session: SqliteSession, _now: float, names: Sequence[str]) -> list[int]:
    run = session.connection.execute
    found = []
    for name in names:
        run(sql.NEW_OUTBOX, (name,))
        found.append(int(run(sql.OUTBOX_ID, (name,)).fetchone()[0]))
    return found


def _look(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[Answer]:
    return [_look_one(session.connection, now, outbox, request) for outbox, request in batch]


def _look_one(connection: sqlite3.Connection, now: float, outbox: int, request: Request) -> Answer:
    owner, fence, until = connection.execute(sql.HOLDER, (outbox,)).fetchone()
    if owner == request.owner and fence == request.fence:
        return _read(connection, outbox, request, fence)
    # Nobody's, or over: whoever is told to wait no time at all takes it.
    return Answer(0, 0.0 if owner is None else max(0.0, until - now), NOTHING, [])


def _exchange(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[Answer]:
    return [_exchange_one(session.connection, now, outbox, request) for outbox, request in batch]


def _exchange_one(
    connection: sqlite3.Connection, now: float, outbox: int, request: Request
) -> Answer:
    owner, fence, until = connection.execute(sql.HOLDER, (outbox,)).fetchone()
    if owner == request.owner and fence == request.fence:
        connection.execute(sql.HOLD, (now + request.lease, outbox, owner, fence))
    elif request.fence:
        return Answer(0, max(0.0, until - now), NOTHING, [])  # It had it, and was taken over.
    elif owner is None or until <= now:
        connection.execute(sql.TAKE, (request.owner, now + request.lease, outbox))
        fence += 1
    else:
        return Answer(0, until - now, NOTHING, [])
    _settle(connection, now, outbox, request)
    return _read(connection, outbox, request, fence)


def _settle(connection: sqlite3.Connection, now: float, outbox: int, request: Request) -> None:
    for each in request.buried:
        values = (each.attempts, now, each.reason, each.seq, outbox)
        connection.execute(sql.BURY, values)
    gone = [(seq, outbox) for seq in request.published]
    gone += [(each.seq, outbox) for each in request.buried]
    if gone:
        connection.executemany(sql.REMOVE, gone)


def _read(connection: sqlite3.Connection, outbox: int, request: Request, fence: int) -> Answer:
    run = connection.execute
    room = request.max_bytes
    refilled = []
    for each in request.refills:
        values = (outbox, each.key, each.after, request.after, each.limit)
        found, room = _fitting(run(sql.EVENTS_OF_KEY, values), each.limit, room)
        refilled.append(found)
    if request.want <= 0:
        return Answer(fence, 0.0, NOTHING, refilled)
    rows = run(sql.EVENTS, (outbox, request.after, request.want))
    found, _ = _fitting(rows, request.want, room)
    return Answer(fence, 0.0, found, refilled)


def _fitting(rows: sqlite3.Cursor, limit: int, room: int) -> tuple[Found, int]:
    """The first events, as far as they fit, and how many bytes are left."""
    events: list[Stored] = []
    for row in rows:
        event = Stored._make(row)
        if events and len(event.payload) > room:
            rows.close()
            return Found(events, is_cut=True), 0
        room -= len(event.payload)
        events.append(event)
    return Found(events, is_cut=len(events) == limit), max(0, room)


def _retire(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[bool]:
    connection = session.connection
    had = []
    for outbox, request in batch:
        owner, fence, _ = connection.execute(sql.HOLDER, (outbox,)).fetchone()
        had.append(owner == request.owner and fence == request.fence)
        if had[-1]:
            _settle(connection, now, outbox, request)
        connection.execute(sql.RELEASE, (outbox, request.owner))
    return had


def _renew(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[bool]:
    run = session.connection.execute
    renewed = []
    for outbox, owner, seconds in batch:
        holder, fence, _ = run(sql.HOLDER, (outbox,)).fetchone()
        values = (now + seconds, outbox, owner, fence)
        renewed.append(holder == owner and run(sql.HOLD, values).rowcount == 1)
    return renewed


def _dead(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[list[Dead]]:
    run = session.connection.execute
    return [[Dead._make(row) for row in run(sql.DEAD_PAGE, each)] for each in batch]


def _redrive(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[int]:
    run = session.connection.execute
    moved = []
    for outbox, ids in batch:
        count = 0
        for each in ids:
            count += run(sql.REDRIVE, (outbox, each)).rowcount
            run(sql.UNBURY, (outbox, each))
        moved.append(count)
    return moved


def _count(session: SqliteSession, now: float, outboxes: Sequence[int]) -> list[Counted]:
    found = []
    for outbox in outboxes:
        row = session.connection.execute(sql.COUNTS, {"outbox": outbox}).fetchone()
        backlog, oldest, dead = row
        found.append(Counted(backlog, None if oldest is None else max(0.0, now - oldest), dead))
    return found


# In a flush whatever adds events has a lower rank, so that one flush can bring and read them.
_ATTACH: Kind[str, int] = Kind("attach outbox", _attach)
_REDRIVE: Kind[Any, int] = Kind("redrive events", _redrive, rank=2)
_RENEW: Kind[Any, bool] = Kind("renew lease of outbox", _renew, rank=3)
_RETIRE: Kind[Any, bool] = Kind("retire relay", _retire, rank=4)
_EXCHANGE: Kind[Any, Answer] = Kind("settle and read events", _exchange, rank=5)
_LOOK: Kind[Any, Answer] = Kind("read events", _look, rank=6, reads=True)
_DEAD: Kind[Any, list[Dead]] = Kind("read dead events", _dead, rank=6, reads=True)
_COUNT: Kind[int, Counted] = Kind("count events", _count, rank=6, reads=True)
