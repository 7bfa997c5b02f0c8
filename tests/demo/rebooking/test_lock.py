"""The lock beside a database: for one process, and free the moment that it ends."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from penstock.demo.failures import DemoError
from penstock.demo.rebooking.lock import Lock

HOLD = """
import subprocess, sys
from pathlib import Path
from penstock.demo.rebooking.lock import Lock
with Lock(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
child.kill()
child.wait()
"""


@contextmanager
def holder(path):
    """Another process with the lock, and a child of its own that outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.returncode:
                os.kill(child, signal.SIGKILL)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "run.db"


def test_a_second_process_is_refused_and_told_who_has_it(database):
    with holder(database) as other:
        with pytest.raises(DemoError) as caught, Lock(database):
            pytest.fail("both have it")
        assert str(caught.value) == (
            f"penstock demo: {database}: process {other.pid} works on it "
            "hint: wait for it to end, or name another file with --database"
        )


def test_it_is_free_once_the_holder_was_killed(database):
    with holder(database) as other:
        other.kill()
        other.wait()
        assert (database.parent / "run.db.lock").read_text() == f"{other.pid}\n"
        with Lock(database):
            assert (database.parent / "run.db.lock").read_text() == f"{os.getpid()}\n"


def test_it_is_free_and_gone_once_the_holder_has_ended(database):
    with holder(database) as other:
        other.communicate()
        assert other.returncode == 0
        assert not (database.parent / "run.db.lock").exists()
    with Lock(database) as lock:
        assert lock.path.exists()
    assert not lock.path.exists()


def test_it_goes_when_the_block_fails(database):
    with pytest.raises(RuntimeError, match="by the block"), Lock(database) as lock:
        raise RuntimeError("by the block")
    assert not lock.path.exists()
    with Lock(database):
        pass


def test_a_file_that_its_holder_has_just_taken_away_is_no_lock(database, monkeypatch):
    """The moment between opening the file and locking it, in which the holder ends."""
    lock, take = Lock(database), Lock._take
    taken = []

    def take_late(self, fd):
        if not taken:
            self.path.unlink()
        take(self, fd)
        taken.append(fd)

    monkeypatch.setattr(Lock, "_take", take_late)
    with lock:
        assert len(taken) == 2
        monkeypatch.setattr(Lock, "_take", take)
        with pytest.raises(DemoError, match=f"process {os.getpid()} works on it"), Lock(database):
            pytest.fail("both have it")


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(OSError, match="nowhere"), Lock(tmp_path / "nowhere" / "run.db"):
        pytest.fail("there is no such folder")
