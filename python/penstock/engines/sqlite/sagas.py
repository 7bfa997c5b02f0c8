"""Sagas on a database file: what `penstock.saga.store` asks for, in SQL."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock._durable.leases import Lease
from penstock._durable.writes import Kind, Write
from penstock.errors import Misuse
from penstock.saga.store import (
    Answer,
    Change,
    Claim,
    Claimed,
    Encode,
    Entry,
    Found,
    Line,
    NewSaga,
    Owner,
    Raised,
    Stale,
    Started,
    Transacted,
)

from . import saga_tables as sql
from .session import SqliteSession
from .transaction import Transaction

if TYPE_CHECKING:
    from .stores import OpenFile

_THE_STORE_S = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
}


class SqliteSagas:
    """The sagas of one file."""

    migrations = sql.MIGRATIONS
    topic = "sagas"
    topic_of_ends = "ends of sagas"

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.writer = file.writer

    def attach(self) -> None:
        """Nothing is to be found out before use."""

    def close(self) -> None:
        """Blocks until what was handed over is committed."""
        self._file.release()

    def start(self, new: NewSaga, owner: Owner | None) -> Write[Started]:
        topic = self.topic if owner is None else None
        return Write(_START, (new, owner), size=len(new.input), topic=topic)

    def change(self, change: Change) -> Write[bool]:
        return Write(_CHANGE, change, size=_size(change), topic=self._told(change))

    def transact_step(
        self,
        change: Change,
        fn: Callable[..., Any],
        args: Sequence[Any],
        encode: Encode,
        began: float,
    ) -> Write[Transacted]:
        values = (change, fn, args, encode, began)
        return Write(_TRANSACT_STEP, values, topic=self._told(change))

    def transact(self, fn: Callable[..., Any], args: Sequence[Any]) -> Write[Any]:
        return Write(_TRANSACT, (fn, args))

    def claim(self, claim: Claim) -> Write[Answer]:
        return Write(_CLAIM, claim)

    def wait(self, owner: str, names: Sequence[str]) -> Write[float | None]:
        return Write(_NEXT, (owner, names))

    def retire(self, owner: str) -> Write[int]:
        return Write(_RETIRE, owner, topic=self.topic)

    def renewal(self, lease: Lease) -> Write[bool]:
        return Write(_RENEW, (lease.owner, lease.seconds))

    def ended(self, seqs: Sequence[int]) -> Write[Sequence[Claimed]]:
        return Write(_ENDED, seqs)

    def find(self, name: str, key: str) -> Write[Found | None]:
        return Write(_FIND, (name, key))

    def page(
        self, name: str | None, state: str | None, after: int, limit: int
    ) -> Write[Sequence[Found]]:
        return Write(_PAGE, {"name": name, "state": state, "after": after, "limit": limit})

    def history(self, seq: int) -> Write[Sequence[Line]]:
        return Write(_HISTORY, seq)

    def resume(self, seq: int, by: str) -> Write[bool]:
        return Write(_RESUME, (seq, by), topic=self.topic)

    def counts(self) -> Write[Sequence[tuple[str, str, int]]]:
        return Write(_COUNTS, None)

    def _told(self, change: Change) -> str | None:
        """The topic, if somebody elsewhere may wait for this end."""
        return None if _goes_on(change) else self.topic_of_ends


def _size(change: Change) -> int:
    size = 0
    for entry in change.entries:
        size += len(entry.result or b"") + len(entry.traceback or "")
    return size


def _goes_on(change: Change) -> bool:
    return change.position.state in {"running", "compensating"}


def _start(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[Started]:
    run = session.connection.execute
    known: dict[str, bool] = {}
    started = []
    for new, owner in batch:
        name = None
        is_lost = False
        if owner is not None:
            if owner.name not in known:
                known[owner.name] = _hold(session.connection, now, owner)
            is_lost = not known[owner.name]
            name = None if is_lost else owner.name
        row = run(
            sql.START,
            (
                new.name,
                new.key,
                new.version,
                now,
                now if name is None else None,
                name,
                0 if name is None else 1,
                now,
                now,
                new.traceparent,
                new.input,
            ),
        )
        if row.rowcount:
            fence = 0 if name is None else 1
            seq = row.lastrowid or 0
            started.append(
                Started(seq, fence, True, name is not None, is_lost, "running", new.input)
            )
        else:
            seq, fence, state, given = run(sql.FIND_STARTED, (new.name, new.key)).fetchone()
            started.append(Started(seq, fence, False, False, is_lost, state, given))
    return started


def _hold(connection: sqlite3.Connection, now: float, owner: Owner) -> bool:
    """Whether the owner may hold more: not if what it believes to hold was taken over."""
    if owner.holds and connection.execute(sql.IS_HOLDER, (owner.name,)).fetchone() is None:
        return False
    connection.execute(sql.HOLD, (owner.name, now + owner.lease))
    return True


def _change(session: SqliteSession, now: float, batch: Sequence[Change]) -> list[bool]:
    connection = session.connection
    written = []
    for change in batch:
        moved = _move(connection, now, change)
        if moved:
            for entry in change.entries:
                _add(connection, now, change.seq, change.fence, entry)
        written.append(moved)
    return written


def _move(connection: sqlite3.Connection, now: float, change: Change) -> bool:
    state, phase, step, attempt, is_unsure, pause = change.position
    entries = change.total
    claim = (change.seq, change.owner, change.fence)
    if state == "running" and change.failure is None and change.version is None:
        values = (phase, step, attempt, is_unsure, now + pause, entries, now, *claim)
        return connection.execute(sql.MOVE, values).rowcount == 1
    failed_step, error = change.failure or (None, None)
    owner = change.owner if _goes_on(change) else None
    turn = (
        state,
        phase,
        step,
        attempt,
        is_unsure,
        now + pause,
        entries,
        now,
        owner,
        failed_step,
        error,
        change.version,
        *claim,
    )
    return connection.execute(sql.TURN, turn).rowcount == 1


def _add(connection: sqlite3.Connection, now: float, seq: int, fence: int, entry: Entry) -> None:
    number, step, phase, attempt, state, seconds, result, error, traceback = entry
    connection.execute(
        sql.ADD_ENTRY,
        (seq, number, step, phase, attempt, state, seconds, now, fence, result, error, traceback),
    )


def _transact_step(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[Transacted]:
    return [
        _guarded(session.connection, partial(_step, session.connection, now, *each))
        for each in batch
    ]


def _step(
    connection: sqlite3.Connection,
    now: float,
    change: Change,
    fn: Callable[..., Any],
    args: Sequence[Any],
    encode: Encode,
    began: float,
    transaction: Transaction,
) -> bytes | Stale:
    if not _move(connection, now, change):
        return Stale()
    result = encode(fn(transaction, *args))
    (entry,) = change.entries
    entry = entry._replace(result=result, seconds=time.perf_counter() - began)
    _add(connection, now, change.seq, change.fence, entry)
    return result


def _transact(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[Any]:
    return [_guarded(session.connection, partial(_function, fn, args)) for fn, args in batch]


def _function(fn: Callable[..., Any], args: Sequence[Any], transaction: Transaction) -> Any:
    return fn(transaction, *args)


def _guarded(connection: sqlite3.Connection, work: Callable[[Transaction], Any]) -> Any:
    """What `work` returns; or what it raised, with nothing of it kept."""
    connection.execute("SAVEPOINT transact")
    transaction = Transaction(connection)
    try:
        result = work(transaction)
        if not connection.in_transaction:
            raise Misuse(
                "a function given to transact() ended the transaction that it shares with others",
                hint="returning from it commits, raising undoes",
            )
    except BaseException as error:  # It is its caller's, even SystemExit.
        if not connection.in_transaction or _is_the_store_s(error):
            raise  # What the others of this flush have written is gone, too: run them anew.
        connection.execute("ROLLBACK TO transact")
        connection.execute("RELEASE transact")
        return Raised(error)
    finally:
        transaction.end()
    connection.execute("RELEASE transact")
    return result


def _is_the_store_s(error: BaseException) -> bool:
    """Whether the file failed and not the function: then it is tried again, as any write is."""
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    return isinstance(error, sqlite3.Error) and primary in _THE_STORE_S


def _claim(session: SqliteSession, now: float, batch: Sequence[Claim]) -> list[Answer]:
    return [_claim_one(session.connection, now, claim) for claim in batch]


def _claim_one(connection: sqlite3.Connection, now: float, claim: Claim) -> Answer:
    run = connection.execute
    owner = claim.owner
    if owner.holds and run(sql.IS_HOLDER, (owner.name,)).fetchone() is None:
        return Answer((), True, None)
    for (dead,) in run(sql.DEAD_HOLDERS, (now, owner.name)).fetchall():
        run(sql.TAKE_FROM, {"owner": dead, "now": now, "crashed": 1})
        run(sql.FORGET_HOLDER, (dead,))
    claimed: list[Claimed] = []
    for name in claim.names:
        left = claim.want - len(claimed)
        if left <= 0:
            break
        rows = run(sql.CLAIM, (owner.name, name, now, left)).fetchall()
        claimed += [_claimed(connection, now, row) for row in sorted(rows)]
    if claimed or owner.holds:
        run(sql.HOLD, (owner.name, now + owner.lease))
    wait = None
    if len(claimed) < claim.want:
        wait = _wait(connection, now, owner.name, claim.names)
    return Answer(claimed, False, wait)


def _wait(
    connection: sqlite3.Connection, now: float, owner: str, names: Sequence[str]
) -> float | None:
    run = connection.execute
    moments = [run(sql.NEXT_DUE, (name,)).fetchone()[0] for name in names]
    moments.append(run(sql.NEXT_DEATH, (owner,)).fetchone()[0])
    return min((each - now for each in moments if each is not None), default=None)


def _next(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[float | None]:
    return [_wait(session.connection, now, owner, names) for owner, names in batch]


def _claimed(connection: sqlite3.Connection, now: float, row: Sequence[Any]) -> Claimed:
    done = connection.execute(sql.DONE, (row[0],)).fetchall()
    found = Claimed._make((*row, done))
    return found._replace(is_unsure=bool(found.is_unsure), pause=max(0.0, found.pause - now))


def _retire(session: SqliteSession, now: float, owners: Sequence[str]) -> list[int]:
    run = session.connection.execute
    given_back = []
    for owner in owners:
        given_back.append(run(sql.TAKE_FROM, {"owner": owner, "now": now, "crashed": 0}).rowcount)
        run(sql.FORGET_HOLDER, (owner,))
    return given_back


def _renew(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[bool]:
    run = session.connection.execute
    return [run(sql.RENEW, (now + seconds, owner)).rowcount == 1 for owner, seconds in batch]


def _ended(
    session: SqliteSession, now: float, batch: Sequence[Sequence[int]]
) -> list[Sequence[Claimed]]:
    connection = session.connection
    return [
        [
            _claimed(connection, now, row)
            for row in connection.execute(sql.ENDED, (json.dumps(list(seqs)),)).fetchall()
        ]
        for seqs in batch
    ]


def _find(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[Found | None]:
    rows = [session.connection.execute(sql.FIND, each).fetchone() for each in batch]
    return [None if row is None else Found._make(row) for row in rows]


def _page(session: SqliteSession, _now: float, batch: Sequence[Any]) -> list[Sequence[Found]]:
    run = session.connection.execute
    return [[Found._make(row) for row in run(sql.PAGE, each)] for each in batch]


def _history(session: SqliteSession, _now: float, batch: Sequence[int]) -> list[Sequence[Line]]:
    run = session.connection.execute
    return [[Line._make(row) for row in run(sql.HISTORY, (seq,))] for seq in batch]


def _resume(session: SqliteSession, now: float, batch: Sequence[Any]) -> list[bool]:
    connection = session.connection
    resumed = []
    for seq, by in batch:
        row = connection.execute(sql.RESUME, {"seq": seq, "now": now}).fetchall()
        if row:
            number, fence = row[0]
            _add(connection, now, seq, fence, Entry(number, by, "note", 0, "resumed", 0.0))
        resumed.append(bool(row))
    return resumed


def _counts(session: SqliteSession, _now: float, batch: Sequence[None]) -> list[Any]:
    rows = session.connection.execute(sql.COUNTS).fetchall()
    return [rows] * len(batch)


# Ends come before claims, and what gives up a lease after all that was written under it.
_START: Kind[Any, Started] = Kind("start saga", _start, rank=1)
_CHANGE: Kind[Change, bool] = Kind("move saga", _change, rank=1)
_TRANSACT_STEP: Kind[Any, Transacted] = Kind("step in a transaction", _transact_step, rank=1)
_TRANSACT: Kind[Any, Any] = Kind("transaction", _transact, rank=1)
_RESUME: Kind[Any, bool] = Kind("resume saga", _resume, rank=2)
_RENEW: Kind[Any, bool] = Kind("renew lease", _renew, rank=3)
_RETIRE: Kind[str, int] = Kind("retire owner", _retire, rank=4)
_CLAIM: Kind[Claim, Answer] = Kind("claim sagas", _claim, rank=5)
_NEXT: Kind[Any, float | None] = Kind("look for sagas", _next, rank=6, reads=True)
_ENDED: Kind[Any, Sequence[Claimed]] = Kind("read ended sagas", _ended, rank=6, reads=True)
_FIND: Kind[Any, Found | None] = Kind("find saga", _find, rank=6, reads=True)
_PAGE: Kind[Any, Sequence[Found]] = Kind("list sagas", _page, rank=6, reads=True)
_HISTORY: Kind[int, Sequence[Line]] = Kind("read history", _history, rank=6, reads=True)
_COUNTS: Kind[None, Any] = Kind("count sagas", _counts, rank=6, reads=True)
