"""Stands in for the demo's working process: enters ended sagas until it is told otherwise.

    working_process.py DATABASE ACT [ACT …] [--desk NAME]

The n-th process on a database does the n-th act, the last one is done by all that follow:
`all` enters what is missing and ends with 0, `upto:N` enters up to N sagas and waits for its end,
`exit:N:CODE` ends with CODE after N, `die:N` by SIGSEGV, `drain:N` waits and enters the rest on
SIGTERM. `+bear` starts a child that ends with it before, `+orphan` one that does not.
"""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from penstock.demo.supervisor import die_with_supervisor

TOTAL = 10

SCHEMA = """
CREATE TABLE IF NOT EXISTS demo_run (
    one INTEGER PRIMARY KEY, seed INTEGER, source TEXT, digest TEXT, cancelled INTEGER);
CREATE TABLE IF NOT EXISTS penstock_saga (
    seq INTEGER PRIMARY KEY, name TEXT, key TEXT, state TEXT, UNIQUE (name, key));
CREATE TABLE IF NOT EXISTS process (pid INTEGER);
"""
CHILD = """
import os, select
fd = os.pidfd_open(os.getppid())
print(flush=True)
select.select([fd], [], [])
"""
ORPHAN = "import signal; print(flush=True); signal.pause()"


def open_database(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    connection.execute("INSERT OR IGNORE INTO demo_run VALUES (1, 1, '', '', ?)", (TOTAL,))
    return connection


def enter(connection, key, state="completed"):
    connection.execute(
        "INSERT INTO penstock_saga (name, key, state) VALUES ('rebook', ?, ?)", (key, state)
    )


def drain(connection):
    for key in range(connection.execute("SELECT count(*) FROM penstock_saga").fetchone()[0], TOTAL):
        enter(connection, key)
    time.sleep(0.3)  # for the supervisor to see it
    sys.exit(7)


def bear(program):
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    child.stdout.readline()
    return child


def main():
    die_with_supervisor()
    _, database, *acts, _, desk = sys.argv
    signal.signal(signal.SIGINT, lambda *_: sys.exit(f"interrupted {desk}"))
    connection = open_database(Path(database))
    processes = connection.execute("SELECT count(*) FROM process").fetchone()[0]
    act, _, child = acts[min(processes, len(acts) - 1)].partition("+")
    word, *numbers = act.split(":")
    children = [bear({"bear": CHILD, "orphan": ORPHAN}[child])] if child else []
    for pid in (os.getpid(), *(child.pid for child in children)):
        connection.execute("INSERT INTO process VALUES (?)", (pid,))
    if word == "drain":  # before anybody can see how far it is, and ask it to end
        signal.signal(signal.SIGTERM, lambda *_: drain(connection))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    there = connection.execute("SELECT count(*) FROM penstock_saga").fetchone()[0]
    for key in range(there, int(numbers[0]) if numbers else TOTAL):
        enter(connection, key)
    while word in {"upto", "drain"}:
        # Not `pause`: it would not hear of a signal that came just before it.
        select.select([reading], [], [])
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    connection.close()
    sys.stdout.write(f"the result of {desk}\n")
    sys.exit(int(numbers[1]) if word == "exit" else 0)


if __name__ == "__main__":
    main()
