"""The tables of event logs, projections and remembered answers, in the user's own file.

SQLite has one writer at a time, so a log's places rise in the order of the commits, and whoever has
read one has read all below it. They are counted for each log by itself, without gaps: a projection
that is sent event 7 and has seen 5 knows that one is missing.
"""

from __future__ import annotations

CQRS = (
    (
        """
        CREATE TABLE penstock_log (
            name TEXT PRIMARY KEY, last INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_log_event (
            log TEXT NOT NULL,
            seq INTEGER NOT NULL,
            id TEXT NOT NULL,
            topic TEXT NOT NULL,
            key TEXT,
            payload BLOB NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (log, seq)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_projection (
            name TEXT PRIMARY KEY,
            version TEXT NOT NULL,
            position INTEGER NOT NULL,
            seen INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            shadow INTEGER,
            shadow_position INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_projection_ahead (
            projection TEXT NOT NULL,
            seq INTEGER NOT NULL,
            topic TEXT NOT NULL,
            payload BLOB NOT NULL,
            PRIMARY KEY (projection, seq)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_projection_seen (
            projection TEXT NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (projection, id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE penstock_answer (
            keeper TEXT NOT NULL,
            key TEXT NOT NULL,
            message BLOB NOT NULL,
            answer BLOB NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (keeper, key)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX penstock_answer_at ON penstock_answer (keeper, at)",
    ),
)
NOW = "(julianday('now') - 2440587.5) * 86400.0"

NEW_LOG = "INSERT OR IGNORE INTO penstock_log (name) VALUES (?)"
NEXT = "UPDATE penstock_log SET last = last + 1 WHERE name = ? RETURNING last"
LOG = f"INSERT INTO penstock_log_event VALUES (?, ?, ?, ?, ?, ?, {NOW})"  # noqa: S608
READ = """
SELECT seq, id, topic, key, payload, created_at FROM penstock_log_event
WHERE log = ? AND seq > ? ORDER BY seq LIMIT ?
"""
LAST = "SELECT last FROM penstock_log WHERE name = ?"
FORGET_LOG = """
DELETE FROM penstock_log_event WHERE (log, seq) IN
    (SELECT log, seq FROM penstock_log_event WHERE log = ? AND seq <= ? ORDER BY seq LIMIT ?)
"""

ANSWER = "SELECT message, answer FROM penstock_answer WHERE keeper = ? AND key = ?"
KEEP = f"INSERT INTO penstock_answer VALUES (?, ?, ?, ?, {NOW})"  # noqa: S608
FORGET_ANSWERS = f"""
DELETE FROM penstock_answer WHERE (keeper, key) IN
    (SELECT keeper, key FROM penstock_answer
    WHERE keeper = ? AND at <= {NOW} - ? ORDER BY at LIMIT ?)
"""  # noqa: S608

PROJECTION = """
SELECT version, position, seen, generation, shadow, shadow_position
FROM penstock_projection WHERE name = ?
"""
NEW_PROJECTION = """
INSERT INTO penstock_projection (name, version, position, seen, generation) VALUES (?, ?, ?, ?, 0)
"""
ADVANCE = """
UPDATE penstock_projection SET position = ?, seen = max(seen, ?) WHERE name = ?
"""
BEGIN_SHADOW = """
UPDATE penstock_projection SET generation = ?, shadow = ?, shadow_position = ? WHERE name = ?
"""
ADVANCE_SHADOW = "UPDATE penstock_projection SET shadow_position = ? WHERE name = ?"
SWITCH = """
UPDATE penstock_projection
SET version = ?, position = ?, seen = max(seen, ?), shadow = NULL, shadow_position = 0
WHERE name = ?
"""
AHEAD = "INSERT OR IGNORE INTO penstock_projection_ahead VALUES (?, ?, ?, ?)"
NEXT_AHEAD = """
SELECT topic, payload FROM penstock_projection_ahead WHERE projection = ? AND seq = ?
"""
DROP_AHEAD = "DELETE FROM penstock_projection_ahead WHERE projection = ? AND seq <= ?"
COUNT_AHEAD = "SELECT count(*) FROM penstock_projection_ahead WHERE projection = ?"
SEEN = "INSERT OR IGNORE INTO penstock_projection_seen VALUES (?, ?)"
