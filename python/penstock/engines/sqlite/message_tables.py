"""The tables of message queues, and how a message moves in them.

A message is in one of these states, told by two columns:
    due set, owner NULL     ready, from `due` on
    due NULL, owner set     in flight: claimed by `owner` under `fence`
    due NULL, owner NULL    behind an earlier message of its key

Only the oldest message of a key is ever ready or in flight, which is what keeps a key's order: it
is decided when a message comes or its predecessor goes, not by searching at each claim.
`visible_at` is what `due` will be, or was.

Fences come from one counter, so they rise for every message and along every key.
"""

from __future__ import annotations

MIGRATIONS = (
    (
        """
        CREATE TABLE penstock_message_queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)
        """,
        """
        CREATE TABLE penstock_message (
            seq INTEGER PRIMARY KEY,
            queue INTEGER NOT NULL,
            id TEXT NOT NULL,
            key TEXT,
            due REAL,
            visible_at REAL NOT NULL,
            owner TEXT,
            fence INTEGER NOT NULL DEFAULT 0,
            attempt INTEGER NOT NULL DEFAULT 0,
            enqueued_at REAL NOT NULL,
            headers TEXT,
            payload BLOB NOT NULL
        )
        """,
        """
        CREATE INDEX penstock_message_due ON penstock_message (queue, due) WHERE due IS NOT NULL
        """,
        """
        CREATE INDEX penstock_message_key ON penstock_message (queue, key) WHERE key IS NOT NULL
        """,
        """
        CREATE INDEX penstock_message_owner ON penstock_message (owner) WHERE owner IS NOT NULL
        """,
        """
        CREATE TABLE penstock_message_holder (
            owner TEXT PRIMARY KEY, queue INTEGER NOT NULL, until REAL NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_message_fence (
            one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL
        )
        """,
        "INSERT INTO penstock_message_fence VALUES (1, 0)",
        """
        CREATE TABLE penstock_message_dedupe (
            queue INTEGER NOT NULL,
            value TEXT NOT NULL,
            id TEXT NOT NULL,
            until REAL NOT NULL,
            PRIMARY KEY (queue, value)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX penstock_message_dedupe_until ON penstock_message_dedupe (until)",
        """
        CREATE TABLE penstock_message_dead (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            queue INTEGER NOT NULL,
            id TEXT NOT NULL,
            key TEXT,
            attempt INTEGER NOT NULL,
            enqueued_at REAL NOT NULL,
            died_at REAL NOT NULL,
            reason TEXT NOT NULL,
            traceback TEXT NOT NULL,
            headers TEXT,
            payload BLOB NOT NULL,
            UNIQUE (queue, id)
        )
        """,
    ),
)

QUEUE = "SELECT id FROM penstock_message_queue WHERE name = ?"
NEW_QUEUE = "INSERT OR IGNORE INTO penstock_message_queue (name) VALUES (?)"
QUEUES = "SELECT name FROM penstock_message_queue ORDER BY name"

ADD = """
INSERT INTO penstock_message (queue, id, due, visible_at, enqueued_at, headers, payload)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
ADD_KEYED = """
INSERT INTO penstock_message (queue, id, key, due, visible_at, enqueued_at, headers, payload)
SELECT :queue, :id, :key,
    CASE WHEN EXISTS (SELECT 1 FROM penstock_message WHERE queue = :queue AND key = :key)
    THEN NULL ELSE :at END,
    :at, :enqueued_at, :headers, :payload
"""
FORGET_DEDUPES = """
DELETE FROM penstock_message_dedupe WHERE (queue, value) IN
    (SELECT queue, value FROM penstock_message_dedupe WHERE until <= ? LIMIT ?)
"""
DEDUPE = """
INSERT INTO penstock_message_dedupe VALUES (:queue, :value, :id, :until)
ON CONFLICT (queue, value) DO UPDATE SET id = excluded.id, until = excluded.until
WHERE until <= :now
"""
DEDUPED = "SELECT id FROM penstock_message_dedupe WHERE queue = ? AND value = ?"

NEXT_FENCE = "UPDATE penstock_message_fence SET value = value + 1 RETURNING value"
CLAIM = """
UPDATE penstock_message SET due = NULL, owner = ?, fence = ?, attempt = attempt + 1
WHERE seq IN
    (SELECT seq FROM penstock_message WHERE queue = ? AND due <= ? ORDER BY due, seq LIMIT ?)
RETURNING visible_at, seq, id, key, attempt, fence, headers, payload, enqueued_at
"""
NEXT_DUE = "SELECT min(due) FROM penstock_message WHERE queue = ? AND due IS NOT NULL"

# Every write about a claim names its fence and its owner, and changes nothing if they are stale.
ACKNOWLEDGE = "DELETE FROM penstock_message WHERE seq = ? AND fence = ? AND owner = ?"
BURY = """
INSERT OR REPLACE INTO penstock_message_dead
    (queue, id, key, attempt, enqueued_at, died_at, reason, traceback, headers, payload)
SELECT queue, id, key, attempt, enqueued_at, ?, ?, ?, headers, payload
FROM penstock_message WHERE seq = ? AND fence = ? AND owner = ?
"""
GIVE_BACK = """
UPDATE penstock_message SET owner = NULL, due = visible_at, attempt = attempt - 1
WHERE seq = ? AND fence = ? AND owner = ?
"""
POSTPONE = """
UPDATE penstock_message SET owner = NULL, due = ?, visible_at = ?, attempt = attempt - ?
WHERE seq = ? AND fence = ? AND owner = ?
"""
# The oldest of a key becomes ready, unless it is in flight or ready already.
ADVANCE_KEY = """
UPDATE penstock_message SET due = visible_at
WHERE seq = (SELECT min(seq) FROM penstock_message WHERE queue = ? AND key = ?)
    AND owner IS NULL AND due IS NULL
"""

HOLD = """
INSERT INTO penstock_message_holder VALUES (?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET until = excluded.until
"""
RENEW = "UPDATE penstock_message_holder SET until = ? WHERE owner = ?"
IS_HOLDER = "SELECT 1 FROM penstock_message_holder WHERE owner = ?"
FORGET_HOLDER = "DELETE FROM penstock_message_holder WHERE owner = ?"
DEAD_HOLDERS = """
SELECT owner FROM penstock_message_holder WHERE queue = ? AND until <= ? AND owner <> ?
"""
NEXT_DEATH = "SELECT min(until) FROM penstock_message_holder WHERE queue = ? AND owner <> ?"
EXHAUSTED = """
SELECT seq, fence, key, attempt FROM penstock_message WHERE owner = ? AND attempt >= ?
"""
TAKE_FROM = "UPDATE penstock_message SET owner = NULL, due = visible_at WHERE owner = ?"
GIVE_ALL_BACK = """
UPDATE penstock_message SET owner = NULL, due = visible_at, attempt = attempt - 1 WHERE owner = ?
"""

DEAD_PAGE = """
SELECT seq, id, key, attempt, enqueued_at, died_at, reason, traceback, headers, payload
FROM penstock_message_dead WHERE queue = ? AND seq > ? ORDER BY seq LIMIT ?
"""
DEAD_ONE = """
SELECT id, key, headers, payload FROM penstock_message_dead WHERE queue = ? AND id = ?
"""
UNBURY = "DELETE FROM penstock_message_dead WHERE queue = ? AND id = ?"
COUNTS = """
SELECT
    count(*) FILTER (WHERE due <= :now),
    count(*) FILTER (WHERE due > :now),
    count(*) FILTER (WHERE owner IS NOT NULL),
    count(*) FILTER (WHERE due IS NULL AND owner IS NULL),
    (SELECT count(*) FROM penstock_message_dead WHERE queue = :queue),
    min(enqueued_at)
FROM penstock_message WHERE queue = :queue
"""
