"""Message queues on a database file: what `penstock.messages.store` asks for, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from penstock._durable.leases import Lease
from penstock._durable.writes import Kind, Write
from penstock.messages.store import (
    Action,
    Claimed,
    Counted,
    Dead,
    Exchange,
    Exchanged,
    New,
    Settlement,
)

from . import message_tables as sql
from .session import SqliteSession

if TYPE_CHECKING:
    import sqlite3

    from .stores import OpenFile

# Looking a member up in its class takes longer than all else that is done with it here.
_ACKNOWLEDGE = Action.ACKNOWLEDGE
_MAKE_READY = (Action.GIVE_BACK, Action.POSTPONE)


class SqliteMessages:
    """The store of one queue; or, without a name, of the file's queues as a whole."""

    migrations = sql.MIGRATIONS

    def __init__(
        self, file: OpenFile, queue: str | None = None, dedupe_window: float = 0.0
    ) -> None:
        self._file = file
        self._name = queue
        self._window = dedupe_window
        self._queue = 0
        self.writer = file.writer

    def attach(self) -> None:
        if self._name is not None:
            self._queue = self.writer.call(Write(_ATTACH, self._name))

    def close(self) -> None:
        """Blocks until what was handed over is committed."""
        self._file.release()

    @property
    def topic(self) -> str:
        return f"messages {self._queue}"

    def enqueue(self, messages: Sequence[New]) -> Write[list[str]]:
        size = 0
        for each in messages:
            size += len(each.payload)
        return Write(_ENQUEUE, (self._queue, self._window, messages), size=size, topic=self.topic)

    def exchange(self, request: Exchange) -> Write[Exchanged]:
        return Write(_EXCHANGE, (self._queue, request), topic=self._told(request.settled))

    def retire(self, owner: str, settled: Sequence[Settlement]) -> Write[int]:
        return Write(_RETIRE, (self._queue, owner, settled), topic=self.topic)

    def renewal(self, lease: Lease) -> Write[bool]:
        return Write(_RENEW, (lease.owner, lease.seconds))

    def dead(self, after: int, limit: int) -> Write[list[Dead]]:
        return Write(_DEAD, (self._queue, after, limit))

    def redrive(self, ids: Sequence[str]) -> Write[int]:
        return Write(_REDRIVE, (self._queue, ids), topic=self.topic)

    def counts(self) -> Write[Counted]:
        return Write(_COUNT, self._queue)

    def names(self) -> Write[list[str]]:
        return Write(_NAMES, None)

    def _told(self, settled: Sequence[Settlement]) -> str | None:
        """The topic, if what is settled may make something ready that was not."""
        for each in settled:
            if each.key is not None or each.action in _MAKE_READY:
                return self.topic
        return None


def _attach(session: SqliteSession, _now: float, names: Sequence[str]) -> list[int]:
    run = session.connection.execute
    found = []
    for name in names:
        run(sql.NEW_QUEUE, (name,))
        found.append(int(run(sql.QUEUE, (name,)).fetchone()[0]))
    return found


def _enqueue(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[list[str]]:
    connection = session.connection
    plain: list[tuple[Any, ...]] = []
    keyed: list[dict[str, Any]] = []
    results = []
    deduped = sum(message.dedupe is not None for _, _, messages in batch for message in messages)
    if deduped:
        # More than come, so that they cannot pile up.
        connection.execute(sql.FORGET_DEDUPES, (now, deduped + 100))
    for queue, window, messages in batch:
        ids = []
        for message in messages:
            if message.dedupe is not None:
                earlier = _earlier(connection, queue, window, now, message)
                if earlier is not None:
                    ids.append(earlier)
                    continue
            ids.append(message.id)
            at = now + message.delay
            if message.key is None:
                plain.append((queue, message.id, at, at, now, message.headers, message.payload))
            else:
                keyed.append(_keyed(queue, message, at, now))
        results.append(ids)
    if plain:
        connection.executemany(sql.ADD, plain)
    if keyed:
        connection.executemany(sql.ADD_KEYED, keyed)
    return results


def _keyed(queue: int, message: New, at: float, now: float) -> dict[str, Any]:
    return {
        "queue": queue,
        "id": message.id,
        "key": message.key,
        "at": at,
        "enqueued_at": now,
        "headers": message.headers,
        "payload": message.payload,
    }


def _earlier(
    connection: sqlite3.Connection, queue: int, window: float, now: float, message: New
) -> str | None:
    """The id of the message that had this dedupe value in the window; None: this is the first.

    It may be the same id: what is forwarded twice has its own for a dedupe value.
    """
    values = {
        "queue": queue,
        "value": message.dedupe,
        "id": message.id,
        "until": now + window,
        "now": now,
    }
    if connection.execute(sql.DEDUPE, values).rowcount:
        return None
    return str(connection.execute(sql.DEDUPED, (queue, message.dedupe)).fetchone()[0])


def _exchange(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[Exchanged]:
    return [_exchange_one(session.connection, now, queue, each) for queue, each in batch]


def _exchange_one(
    connection: sqlite3.Connection, now: float, queue: int, request: Exchange
) -> Exchanged:
    run = connection.execute
    owner = request.owner
    stale = _settle(connection, now, queue, owner, request.settled)
    is_lost = request.holds and run(sql.IS_HOLDER, (owner,)).fetchone() is None
    claimed: list[Claimed] = []
    wait: float | None = None
    if request.want and not is_lost:
        _take_over(connection, now, queue, request)
        claimed = _claim(connection, now, queue, request)
        if len(claimed) < request.want:
            moments = (
                run(sql.NEXT_DUE, (queue,)).fetchone()[0],
                run(sql.NEXT_DEATH, (queue, owner)).fetchone()[0],
            )
            wait = min((each - now for each in moments if each is not None), default=None)
    if not is_lost and (claimed or request.holds):
        run(sql.HOLD, (owner, queue, now + request.lease))
    return Exchanged(claimed, stale, is_lost, wait)


def _claim(
    connection: sqlite3.Connection, now: float, queue: int, request: Exchange
) -> list[Claimed]:
    run = connection.execute
    due = run(sql.NEXT_DUE, (queue,)).fetchone()[0]
    if due is None or due > now:
        return []
    (fence,) = run(sql.NEXT_FENCE).fetchall()[0]
    rows = run(sql.CLAIM, (request.owner, fence, queue, now, request.want)).fetchall()
    rows.sort(key=_MOMENT_AND_SEQ)
    return [Claimed._make(row[1:]) for row in rows]


_MOMENT_AND_SEQ = itemgetter(0, 1)


def _settle(
    connection: sqlite3.Connection,
    now: float,
    queue: int,
    owner: str,
    settled: Sequence[Settlement],
) -> int:
    """Write down how handling ended; how many came too late and changed nothing."""
    done = 0
    acknowledged = []
    others = []
    keys = set()
    for each in settled:
        if each.action is _ACKNOWLEDGE:
            acknowledged.append((each.seq, each.fence, owner))
        else:
            others.append(each)
        if each.key is not None:
            keys.add(each.key)
    if acknowledged:
        done += connection.executemany(sql.ACKNOWLEDGE, acknowledged).rowcount
    for each in others:
        claim = (each.seq, each.fence, owner)
        if each.action is Action.GIVE_BACK:
            done += connection.execute(sql.GIVE_BACK, claim).rowcount
        elif each.action is Action.POSTPONE:
            at = now + each.delay
            refund = int(each.refund)
            done += connection.execute(sql.POSTPONE, (at, at, refund, *claim)).rowcount
        elif each.action is Action.BURY:
            connection.execute(sql.BURY, (now, each.reason, each.traceback, *claim))
            done += connection.execute(sql.ACKNOWLEDGE, claim).rowcount
    for key in keys:
        connection.execute(sql.ADVANCE_KEY, (queue, key))
    return len(settled) - done


def _take_over(connection: sqlite3.Connection, now: float, queue: int, request: Exchange) -> None:
    """Make ready again what holders had claimed whose lease is over."""
    run = connection.execute
    for (owner,) in run(sql.DEAD_HOLDERS, (queue, now, request.owner)).fetchall():
        exhausted = run(sql.EXHAUSTED, (owner, request.attempts)).fetchall()
        _settle(
            connection,
            now,
            queue,
            owner,
            [
                Settlement(
                    Action.BURY,
                    seq,
                    fence,
                    key,
                    reason=f"its consumer was lost in each of {attempt} attempts, or in the last",
                )
                for seq, fence, key, attempt in exhausted
            ],
        )
        run(sql.TAKE_FROM, (owner,))
        run(sql.FORGET_HOLDER, (owner,))


def _retire(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[int]:
    connection = session.connection
    stale = []
    for queue, owner, settled in batch:
        stale.append(_settle(connection, now, queue, owner, settled))
        connection.execute(sql.GIVE_ALL_BACK, (owner,))
        connection.execute(sql.FORGET_HOLDER, (owner,))
    return stale


def _renew(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[bool]:
    run = session.connection.execute
    return [run(sql.RENEW, (now + seconds, owner)).rowcount == 1 for owner, seconds in batch]


def _dead(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[list[Dead]]:
    run = session.connection.execute
    return [[Dead._make(row) for row in run(sql.DEAD_PAGE, each)] for each in batch]


def _redrive(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[int]:
    connection = session.connection
    moved = []
    for queue, ids in batch:
        count = 0
        for each in ids:
            row = connection.execute(sql.DEAD_ONE, (queue, each)).fetchone()
            if row is None:
                continue
            _, key, headers, payload = row
            connection.execute(sql.UNBURY, (queue, each))
            message = New(each, key, 0.0, None, headers, payload)
            _enqueue(session, now, [(queue, 0.0, [message])])
            count += 1
        moved.append(count)
    return moved


def _count(session: SqliteSession, now: float, queues: Sequence[int]) -> list[Counted]:
    run = session.connection.execute
    found = []
    for queue in queues:
        row = run(sql.COUNTS, {"queue": queue, "now": now}).fetchone()
        counted = Counted._make(row)
        if counted.oldest is not None:
            counted = counted._replace(oldest=max(0.0, now - counted.oldest))
        found.append(counted)
    return found


def _names(session: SqliteSession, _now: float, batch: Sequence[None]) -> list[list[str]]:
    names = [name for (name,) in session.connection.execute(sql.QUEUES)]
    return [names] * len(batch)


# In a flush messages come first, then what was done with earlier ones, then claims: so one flush
# can bring a message and have it claimed.
_ATTACH: Kind[str, int] = Kind("attach queue", _attach)
_ENQUEUE: Kind[Any, list[str]] = Kind("enqueue", _enqueue, rank=1)
_REDRIVE: Kind[Any, int] = Kind("redrive", _redrive, rank=2)
_RENEW: Kind[Any, bool] = Kind("renew lease", _renew, rank=3)
_RETIRE: Kind[Any, int] = Kind("retire consumer", _retire, rank=4)
_EXCHANGE: Kind[Any, Exchanged] = Kind("settle and claim", _exchange, rank=5)
_DEAD: Kind[Any, list[Dead]] = Kind("read dead letters", _dead, rank=6, reads=True)
_COUNT: Kind[int, Counted] = Kind("count messages", _count, rank=6, reads=True)
_NAMES: Kind[None, list[str]] = Kind("read queue names", _names, rank=6, reads=True)
