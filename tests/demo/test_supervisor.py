"""Kills that come when they should, and nobody left behind whoever is killed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from penstock.demo import supervisor
from penstock.demo.failures import DemoError
from penstock.demo.supervisor import Plan, Progress, die_with_supervisor, read_progress
from penstock.engines.sqlite import saga_tables
from tests.demo import working_process
from tests.demo.working_process import TOTAL, enter, open_database

PROGRAM = """
import contextlib, os, sys
from pathlib import Path
from penstock.demo import supervisor
supervisor._PATIENCE = float(sys.argv[1])
database, shares, log = Path(sys.argv[2]), sys.argv[3].split(), Path(sys.argv[4])

@contextlib.contextmanager
def desk():
    log.write_text("open")
    yield ["--desk", "the desk"]
    log.write_text("closed")

command = [sys.executable, *sys.argv[5:]]
plan = supervisor.Plan(command, os.environ, database, tuple(map(float, shares)), desk)
sys.exit(supervisor.supervise(plan))
"""
PATIENCE = 50.0


class Run:
    """A supervisor over working processes that do these acts."""

    def __init__(self, folder, shares, acts, patience=PATIENCE):
        self.database, self.log = folder / "demo.db", folder / "desk"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM, str(patience), self.database, shares, self.log),
                *(working_process.__file__, self.database, *acts),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self):
        """Wait for its end; all others end as well, and the desk is closed."""
        self.out, self.err = self.process.communicate(timeout=PATIENCE)
        for pid in self.pids():
            await_end(pid)
        assert self.log.read_text() == "closed"
        return self.process.returncode

    def pids(self):
        with closing(sqlite3.connect(self.database)) as connection:
            return [pid for (pid,) in connection.execute("SELECT pid FROM process ORDER BY rowid")]

    def await_cases(self, number):
        while read_progress(self.database).ended < number:
            assert self.process.poll() is None, self.process.stderr.read()


def await_end(pid):
    with contextlib.suppress(ProcessLookupError), open(os.pidfd_open(pid), closefd=True) as fd:
        assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} is still there"


@pytest.fixture
def run(tmp_path):
    runs = []

    def start(shares, *acts, patience=PATIENCE):
        runs.append(Run(tmp_path, shares, acts, patience))
        return runs[-1]

    yield start
    for each in runs:
        with each.process:
            each.process.kill()


def test_a_kill_at_its_share(run):
    done = run("0.5", "upto:5", "all")
    assert done.end() == 0, done.err
    first, second = done.pids()
    assert first != second
    assert done.err == (
        f"penstock demo: killed process {first} at 5 of 10 cases, another takes over\n"
    )
    assert done.out == "the result of the desk\n"


def test_several_kills_hit_those_that_took_over(run):
    done = run("0.3 0.6 0.8", "upto:3", "upto:6", "upto:8", "all")
    assert done.end() == 0, done.err
    assert len(done.pids()) == 4
    assert [line.partition(" at ")[2] for line in done.err.splitlines()] == [
        "3 of 10 cases, another takes over",
        "6 of 10 cases, another takes over",
        "8 of 10 cases, another takes over",
    ]
    assert done.out == "the result of the desk\n"


def test_no_kill_without_a_share(run):
    done = run("", "all")
    assert (done.end(), done.err, done.out) == (0, "", "the result of the desk\n")


@pytest.mark.parametrize("code", [0, 2])
def test_a_process_that_ends_before_its_share(run, code):
    done = run("0.3 0.9", "upto:3", f"exit:5:{code}")
    assert done.end() == code
    [_, line] = done.err.splitlines()
    assert line.startswith("penstock demo: --kill-after 0.9: the kill never came, process ")
    assert f" ended by itself with {code} after " in line
    assert " hint: " in line


def test_a_process_that_dies_is_started_again(run):
    done = run("0.5", "die:2", "die:3", "upto:5", "die:7", "all")
    assert done.end() == 0, done.err
    assert len(done.pids()) == 5
    assert [line.split()[-4].strip(",") for line in done.err.splitlines()] == [
        *("SIGSEGV", "SIGSEGV", "cases", "SIGSEGV")
    ]


def test_a_process_that_dies_again_and_again(run):
    done = run("0.5", "die:1")
    assert done.end() == 1
    assert len(done.pids()) == 4
    *_, last = done.err.splitlines()
    assert last.startswith(
        "penstock demo: the working process: died 4 times, the last time by SIGSEGV after "
    )
    assert last.endswith(" hint: run it without --kill-after and look at what it says")


@pytest.mark.parametrize("kind", ["terminal", "kill"])
def test_ctrl_c_comes_once(run, kind):
    done = run("0.9", "upto:4+bear")
    done.await_cases(4)
    if kind == "terminal":
        os.killpg(done.process.pid, signal.SIGINT)
    else:
        os.kill(done.process.pid, signal.SIGINT)
    assert done.end() == 1  # as the working process chose
    assert done.err == "interrupted the desk\n"


def test_sigterm_is_passed_on(run):
    done = run("0.9", "upto:4+bear")
    done.await_cases(4)
    done.process.terminate()
    assert done.end() == 128 + signal.SIGTERM
    assert done.err == ""


def test_a_process_that_was_asked_to_end_is_not_killed(run):
    done = run("0.9", "drain:4")
    done.await_cases(4)
    done.process.terminate()
    assert done.end() == 7
    assert done.err == ""


def test_what_a_killed_process_started_is_awaited(run):
    done = run("0.5", "upto:5+bear", "all")
    assert done.end() == 0, done.err
    assert len(done.pids()) == 3


def test_what_does_not_end_with_it_is_a_failure(run):
    done = run("0.5", "upto:5+orphan", "all", patience=0.2)
    assert done.end() == 1
    parent, orphan = done.pids()
    assert done.err == (
        f"penstock demo: process {orphan}: was started by the killed process {parent} and has not "
        f"ended within 0.2 s of it hint: report this\n"
    )


def test_the_working_process_ends_with_its_supervisor(run):
    done = run("0.9", "upto:4+bear")
    done.await_cases(4)
    done.process.kill()
    for pid in done.pids():
        await_end(pid)
    assert done.log.read_text() == "open"


def test_without_a_supervisor_nothing_is_watched():
    before = set(os.listdir("/proc/self/task"))
    die_with_supervisor()
    assert set(os.listdir("/proc/self/task")) <= before


def test_progress_is_nothing_until_there_is_something(tmp_path):
    database = tmp_path / "demo.db"
    assert read_progress(database) == Progress(0, 0)
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE other (x)")
        assert read_progress(database).share == 0.0
    Path(f"{database}-wal").write_bytes(b"junk")
    database.write_bytes(b"junk" * 999)
    assert read_progress(database).share == 0.0


def test_progress_counts_what_has_ended(tmp_path):
    database = tmp_path / "demo.db"
    with closing(open_database(database)) as connection:
        assert read_progress(database) == Progress(0, TOTAL)
        for key, state in enumerate(
            ("running", "compensating", "completed", "compensated", "parked", "completed")
        ):
            enter(connection, key, state)
        assert read_progress(database) == Progress(4, TOTAL)
        assert read_progress(database).share == 0.4
    # Whoever closes the database last folds its log into it: no look from outside was the last.
    assert read_progress(database) == Progress(0, 0)
    assert list(tmp_path.iterdir()) == [database]


def test_progress_reads_two_small_indexes_and_no_saga(tmp_path):
    database = tmp_path / "demo.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for migration in saga_tables.MIGRATIONS:
            for statement in migration:
                connection.execute(statement)
        connection.execute("CREATE TABLE demo_run (cancelled INTEGER)")
        connection.execute("INSERT INTO demo_run VALUES (3)")
        for key, state in enumerate(("running", "completed", "compensated")):
            connection.execute(
                "INSERT INTO penstock_saga (name, key, state, phase, step, attempt, wake_at, "
                "fence, started_at, changed_at, input) "
                "VALUES ('rebook', ?, ?, 'do', 0, 1, 0, 1, 0, 0, '')",
                (key, state),
            )
        assert read_progress(database) == Progress(2, 3)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {supervisor._PROGRESS}").fetchall()
    searches = [row[3] for row in plan if "penstock_saga" in row[3]]
    assert len(searches) == 2
    assert all("COVERING INDEX" in search for search in searches)


@pytest.mark.parametrize(
    "shares", [(0.0,), (1.0,), (-0.5,), (float("nan"),), (0.5, 0.5), (0.5, 0.2)]
)
def test_shares_that_make_no_sense(shares):
    with pytest.raises(DemoError, match="--kill-after") as caught:
        Plan([], {}, Path("x"), shares)
    assert caught.value.hint


def test_it_is_light():
    program = "import sys, penstock.demo.supervisor; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "rich", "anyio", "asyncio"} & set(modules)
