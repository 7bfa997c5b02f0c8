"""Starting and ending the desk, by whoever owns it and whatever becomes of that."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from penstock.demo.failures import DemoError
from penstock.demo.rebooking.desk_client import DeskClient
from penstock.demo.rebooking.desk_process import Desk

OWNER = """
import sys
from pathlib import Path
from penstock.demo.rebooking.desk_process import Desk
desk = Desk(Path(sys.argv[1]), 2013)
desk.start()
print(desk.pid, desk.socket, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "refunds.jsonl"


def has_ended(pid):
    """Wait for a process that is no child of ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 30)[0])
    finally:
        os.close(fd)


def test_started_and_stopped_by_hand(path):
    desk = Desk(path, 2013)
    with pytest.raises(RuntimeError, match="has not been started"):
        desk.socket  # noqa: B018
    desk.start()
    try:
        pid, place = desk.pid, desk.socket
        assert place.is_socket()
        assert place.parent.stat().st_mode & 0o077 == 0
    finally:
        desk.stop()
    assert has_ended(pid)
    assert not place.parent.exists()
    desk.stop()


def test_it_opens_again_at_the_same_place(path):
    desk = Desk(path, 2013)
    desk.start()
    try:
        pid, place = desk.pid, desk.socket
        os.kill(pid, signal.SIGKILL)
        desk.start()
        assert (desk.pid != pid, desk.socket) == (True, place)
        assert place.is_socket()
    finally:
        desk.stop()


def test_it_is_opened_again_whenever_it_dies(path):
    desk = Desk(path, 2013)
    desk.start()
    try:
        place = desk.socket
        for _ in range(2):
            pid = desk.pid
            os.kill(pid, signal.SIGKILL)
            assert has_ended(pid)
            while desk.pid == pid or not answers(place):
                time.sleep(0.01)
        pid = desk.pid
    finally:
        desk.stop()
    assert has_ended(pid)
    assert not place.parent.exists()


def test_that_it_cannot_be_opened_again_is_told_once(path, capfd):
    desk = Desk(path, 2013)
    desk.start()
    try:
        pid = desk.pid
        os.kill(pid, signal.SIGKILL)
        assert has_ended(pid)
        path.write_text("flights\n")
        said = ""
        while not said:
            time.sleep(0.01)
            said += capfd.readouterr().err
        time.sleep(0.3)
    finally:
        desk.stop()
    [line] = (said + capfd.readouterr().err).splitlines()
    assert line.startswith(f"penstock demo: {path}: line 1 is no line of a refund ledger")


def answers(place):
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        return connection.connect_ex(os.fspath(place)) == 0


def test_a_desk_that_cannot_open_is_an_error_and_leaves_nothing(path, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path.write_text("flights\n")
    with pytest.raises(DemoError, match="line 1 is no line of a refund ledger") as caught:
        Desk(path, 2013).start()
    assert caught.value.what == str(path)
    with pytest.raises(DemoError, match="no such file or directory"):
        Desk(tmp_path / "nowhere" / "l", 2013).start()
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_temporary_folder_is_gone_round(path, monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    desk = Desk(path, 2013)
    desk.start()
    desk.stop()
    assert not list(folder.iterdir())


async def test_a_block_of_its_own(path):
    async with Desk(path, 2013) as desk, DeskClient(desk.socket) as client:
        pid, place = desk.pid, desk.socket
        await client.refund("key", "case 0", 1)
    assert has_ended(pid)
    assert not place.parent.exists()


async def test_cancelled_while_it_starts(path, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with Desk(path, 2013):
            pytest.fail("it was cancelled")
    assert [each for each in tmp_path.iterdir() if each != path] == []


def test_it_ends_with_its_owner_however_that_ends(path):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        pid, place = owner.stdout.readline().decode().split()
        assert Path(place).is_socket()
        owner.kill()
    assert has_ended(int(pid))
    assert not Path(place).parent.exists()
