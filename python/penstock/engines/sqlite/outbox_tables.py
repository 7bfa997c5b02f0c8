"""The tables of outboxes and inboxes, in the file that holds the user's own data.

SQLite has one writer at a time, so `seq` rises in the order of the commits; AUTOINCREMENT never
gives one twice, so that a cursor can rely on it when everything behind it is published and gone.

An outbox is worked on by the relay that its row names, until `until` by the database's clock.
Every take-over raises `fence`; what a relay writes under an earlier one changes nothing.
"""

from __future__ import annotations

OUTBOX = (
    (
        """
        CREATE TABLE penstock_outbox (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            owner TEXT,
            fence INTEGER NOT NULL DEFAULT 0,
            until REAL NOT NULL DEFAULT 0
        )
        """,
        """
        CREATE TABLE penstock_outbox_event (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            outbox INTEGER NOT NULL,
            id TEXT NOT NULL,
            topic TEXT NOT NULL,
            key TEXT,
            headers TEXT,
            created_at REAL NOT NULL,
            payload BLOB NOT NULL
        )
        """,
        # With the row's number behind it, as every index of SQLite has: order within the outbox,
        # and within a key.
        "CREATE INDEX penstock_outbox_event_order ON penstock_outbox_event (outbox)",
        """
        CREATE INDEX penstock_outbox_event_key ON penstock_outbox_event (outbox, key)
        WHERE key IS NOT NULL
        """,
        """
        CREATE TABLE penstock_outbox_dead (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            outbox INTEGER NOT NULL,
            id TEXT NOT NULL,
            topic TEXT NOT NULL,
            key TEXT,
            headers TEXT,
            created_at REAL NOT NULL,
            payload BLOB NOT NULL,
            attempts INTEGER NOT NULL,
            died_at REAL NOT NULL,
            reason TEXT NOT NULL,
            UNIQUE (outbox, id)
        )
        """,
    ),
)
INBOX = (
    (
        """
        CREATE TABLE penstock_inbox (
            consumer TEXT NOT NULL,
            message TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (consumer, message)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX penstock_inbox_at ON penstock_inbox (consumer, at)",
    ),
)

# In transactions of the user's own
NEW_OUTBOX = "INSERT OR IGNORE INTO penstock_outbox (name) VALUES (?)"
ADD = """
INSERT INTO penstock_outbox_event (outbox, id, topic, key, headers, payload, created_at)
VALUES (
    (SELECT id FROM penstock_outbox WHERE name = ?), ?, ?, ?, ?, ?,
    (julianday('now') - 2440587.5) * 86400.0
)
"""
MARK = """
INSERT OR IGNORE INTO penstock_inbox VALUES (?, ?, (julianday('now') - 2440587.5) * 86400.0)
"""
UNMARK = "DELETE FROM penstock_inbox WHERE consumer = ? AND message = ?"
FORGET = """
DELETE FROM penstock_inbox WHERE (consumer, message) IN
    (SELECT consumer, message FROM penstock_inbox
    WHERE consumer = ? AND at <= (julianday('now') - 2440587.5) * 86400.0 - ?
    ORDER BY at LIMIT ?)
"""

# Of the relay
OUTBOX_ID = "SELECT id FROM penstock_outbox WHERE name = ?"
HOLDER = "SELECT owner, fence, until FROM penstock_outbox WHERE id = ?"
TAKE = "UPDATE penstock_outbox SET owner = ?, fence = fence + 1, until = ? WHERE id = ?"
HOLD = "UPDATE penstock_outbox SET until = ? WHERE id = ? AND owner = ? AND fence = ?"
RELEASE = "UPDATE penstock_outbox SET owner = NULL, until = 0 WHERE id = ? AND owner = ?"
EVENTS = """
SELECT seq, id, topic, key, headers, payload, created_at FROM penstock_outbox_event
WHERE outbox = ? AND seq > ? ORDER BY seq LIMIT ?
"""
EVENTS_OF_KEY = """
SELECT seq, id, topic, key, headers, payload, created_at FROM penstock_outbox_event
WHERE outbox = ? AND key = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?
"""
REMOVE = "DELETE FROM penstock_outbox_event WHERE seq = ? AND outbox = ?"
BURY = """
INSERT OR REPLACE INTO penstock_outbox_dead
    (outbox, id, topic, key, headers, created_at, payload, attempts, died_at, reason)
SELECT outbox, id, topic, key, headers, created_at, payload, ?, ?, ?
FROM penstock_outbox_event WHERE seq = ? AND outbox = ?
"""
DEAD_PAGE = """
SELECT seq, id, topic, key, attempts, created_at, died_at, reason, headers, payload
FROM penstock_outbox_dead WHERE outbox = ? AND seq > ? ORDER BY seq LIMIT ?
"""
REDRIVE = """
INSERT INTO penstock_outbox_event (outbox, id, topic, key, headers, created_at, payload)
SELECT outbox, id, topic, key, headers, created_at, payload
FROM penstock_outbox_dead WHERE outbox = ? AND id = ?
"""
UNBURY = "DELETE FROM penstock_outbox_dead WHERE outbox = ? AND id = ?"
COUNTS = """
SELECT
    (SELECT count(*) FROM penstock_outbox_event WHERE outbox = :outbox),
    (SELECT created_at FROM penstock_outbox_event WHERE outbox = :outbox ORDER BY seq LIMIT 1),
    (SELECT count(*) FROM penstock_outbox_dead WHERE outbox = :outbox)
"""
