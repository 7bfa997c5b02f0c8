"""The tables of sagas, and how a saga moves in them.

A saga is in one of these states, told by two columns:
    due set, owner NULL     waits to be gone on with, from `due` on
    due NULL, owner set     run by `owner`, under `fence`
    due NULL, owner NULL    ended or parked, as `state` says

`phase`, `step` and `attempt` name what is run next, or is being run. `wake_at` is when that attempt
may begin; so when an owner dies later than that, the attempt may have happened: `unsure`.
"""

from __future__ import annotations

MIGRATIONS = (
    (
        """
        CREATE TABLE penstock_saga (
            seq INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            key TEXT NOT NULL,
            version TEXT,
            state TEXT NOT NULL,
            phase TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            unsure INTEGER NOT NULL DEFAULT 0,
            crashes INTEGER NOT NULL DEFAULT 0,
            wake_at REAL NOT NULL,
            due REAL,
            owner TEXT,
            fence INTEGER NOT NULL,
            entries INTEGER NOT NULL DEFAULT 0,
            started_at REAL NOT NULL,
            changed_at REAL NOT NULL,
            failed_step TEXT,
            error TEXT,
            traceparent TEXT,
            input BLOB NOT NULL,
            UNIQUE (name, key)
        )
        """,
        "CREATE INDEX penstock_saga_due ON penstock_saga (name, due) WHERE due IS NOT NULL",
        "CREATE INDEX penstock_saga_owner ON penstock_saga (owner) WHERE owner IS NOT NULL",
        """
        CREATE INDEX penstock_saga_parked ON penstock_saga (state, seq)
        WHERE state IN ('running', 'compensating', 'parked')
        """,
        """
        CREATE TABLE penstock_saga_entry (
            saga INTEGER NOT NULL,
            number INTEGER NOT NULL,
            step TEXT NOT NULL,
            phase TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            state TEXT NOT NULL,
            seconds REAL NOT NULL,
            at REAL NOT NULL,
            fence INTEGER NOT NULL,
            result BLOB,
            error TEXT,
            traceback TEXT,
            PRIMARY KEY (saga, number)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_saga_holder (
            owner TEXT PRIMARY KEY, until REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)

START = """
INSERT OR IGNORE INTO penstock_saga
    (name, key, version, state, phase, step, attempt, wake_at, due, owner, fence, started_at,
     changed_at, traceparent, input)
VALUES (?, ?, ?, 'running', 'do', 0, 1, ?, ?, ?, ?, ?, ?, ?, ?)
"""
FIND_STARTED = "SELECT seq, fence, state, input FROM penstock_saga WHERE name = ? AND key = ?"

# Every write of a running saga names its owner and its fence; if they are stale it changes nothing.
MOVE = """
UPDATE penstock_saga SET phase = ?, step = ?, attempt = ?, unsure = ?, wake_at = ?, entries = ?,
    changed_at = ?, crashes = 0
WHERE seq = ? AND owner = ? AND fence = ?
"""
TURN = """
UPDATE penstock_saga SET state = ?, phase = ?, step = ?, attempt = ?, unsure = ?, wake_at = ?,
    entries = ?, changed_at = ?, crashes = 0, owner = ?, failed_step = coalesce(?, failed_step),
    error = coalesce(?, error), version = coalesce(?, version)
WHERE seq = ? AND owner = ? AND fence = ?
"""
ADD_ENTRY = "INSERT INTO penstock_saga_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_COLUMNS = """seq, name, key, version, fence, state, phase, step, attempt, unsure, crashes, wake_at,
    input, traceparent, failed_step, error, entries"""
CLAIM = f"""
UPDATE penstock_saga SET owner = ?, due = NULL, fence = fence + 1
WHERE seq IN
    (SELECT seq FROM penstock_saga WHERE name = ? AND due <= ? ORDER BY due, seq LIMIT ?)
RETURNING {_COLUMNS}
"""  # noqa: S608 (our own columns)
ENDED = f"""
SELECT {_COLUMNS} FROM penstock_saga
WHERE seq IN (SELECT value FROM json_each(?)) AND state NOT IN ('running', 'compensating')
"""  # noqa: S608 (our own columns)
DONE = """
SELECT phase, step, result FROM penstock_saga_entry WHERE saga = ? AND state = 'done'
    AND phase <> 'note' ORDER BY number
"""
NEXT_DUE = "SELECT min(due) FROM penstock_saga WHERE name = ? AND due IS NOT NULL"

HOLD = """
INSERT INTO penstock_saga_holder VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET until = excluded.until
"""
RENEW = "UPDATE penstock_saga_holder SET until = ? WHERE owner = ?"
IS_HOLDER = "SELECT 1 FROM penstock_saga_holder WHERE owner = ?"
FORGET_HOLDER = "DELETE FROM penstock_saga_holder WHERE owner = ?"
DEAD_HOLDERS = "SELECT owner FROM penstock_saga_holder WHERE until <= ? AND owner <> ?"
NEXT_DEATH = "SELECT min(until) FROM penstock_saga_holder WHERE owner <> ?"
TAKE_FROM = """
UPDATE penstock_saga SET owner = NULL, due = max(wake_at, :now),
    crashes = crashes + CASE WHEN wake_at > :now THEN 0 ELSE :crashed END,
    unsure = CASE WHEN wake_at > :now THEN unsure ELSE 1 END
WHERE owner = :owner
"""

_FOUND = """seq, name, key, state, phase, step, attempt, owner, fence, crashes, started_at,
    changed_at, failed_step, error, input, traceparent"""
FIND = f"SELECT {_FOUND} FROM penstock_saga WHERE name = ? AND key = ?"  # noqa: S608 (as above)
PAGE = f"""
SELECT {_FOUND} FROM penstock_saga
WHERE seq > :after AND (:name IS NULL OR name = :name) AND (:state IS NULL OR state = :state)
ORDER BY seq LIMIT :limit
"""  # noqa: S608 (as above)
HISTORY = """
SELECT number, step, phase, attempt, state, seconds, at, fence, result, error, traceback
FROM penstock_saga_entry WHERE saga = ? ORDER BY number
"""
# Parked sagas go on in the direction they were going, with attempts counted anew. Of the failure,
# what made them turn back stays.
_TURNED_BACK = """(SELECT {} FROM penstock_saga_entry WHERE saga = seq AND phase = 'do'
    AND penstock_saga_entry.state = 'failed' AND penstock_saga.phase = 'undo'
    ORDER BY number DESC LIMIT 1)"""
RESUME = f"""
UPDATE penstock_saga SET failed_step = {_TURNED_BACK.format("penstock_saga_entry.step")},
    error = {_TURNED_BACK.format("penstock_saga_entry.error")},
    state = CASE phase WHEN 'do' THEN 'running' ELSE 'compensating' END,
    attempt = 1, crashes = 0, version = NULL, wake_at = :now, due = :now, fence = fence + 1,
    entries = entries + 1, changed_at = :now
WHERE seq = :seq AND state = 'parked' AND owner IS NULL
RETURNING entries - 1, fence
"""  # noqa: S608 (our own columns)
COUNTS = "SELECT name, state, count(*) FROM penstock_saga GROUP BY name, state ORDER BY name, state"
