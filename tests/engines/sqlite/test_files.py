"""Files that cannot be used say so, with the remedy, and stay as they were."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import pytest

from penstock import Message, MessageQueue
from penstock._durable.engines import Address
from penstock.engines.sqlite import (
    DatabaseDamaged,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    NotADatabase,
    SchemaTooNew,
)
from penstock.engines.sqlite.holders import holder_of_write_lock
from penstock.errors import EngineError, Misuse


def queue(path: Path, **options) -> MessageQueue[object]:
    return MessageQueue("a", f"sqlite:///{path}", **options)


def refused(path: Path, kind: type[EngineError], text: str) -> EngineError:
    with pytest.raises(kind, match=text) as caught, queue(path).sync:
        pass
    assert type(caught.value) is kind
    assert caught.value.hint
    return caught.value


def test_something_else_is_no_database_and_stays_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, of more than one line\n" * 100)
    before = path.read_bytes()
    refused(path, NotADatabase, "notes.txt is not an SQLite database")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder(tmp_path):
    refused(tmp_path, NotADatabase, "is a folder")


def test_a_folder_that_is_not_there(tmp_path):
    error = refused(tmp_path / "no" / "jobs.db", EngineError, "there is no folder")
    assert error.hint == f"mkdir -p {tmp_path}/no"


def test_a_database_of_a_newer_version(tmp_path):
    path = tmp_path / "jobs.db"
    with queue(path).sync as sync:
        sync.enqueue(1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE penstock_schema SET version = 99 WHERE room = 'messages'")
    connection.commit()
    connection.close()
    error = refused(path, SchemaTooNew, "messages tables are of version 99")
    assert "upgrade penstock" in error.hint
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM penstock_message").fetchone() == (1,)
    connection.close()


def test_a_damaged_file(tmp_path):
    path = tmp_path / "jobs.db"
    with queue(path).sync as sync:
        sync.enqueue_many(["x" * 1000] * 100)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    refused(path, DatabaseDamaged, "malformed")


def _read_only_connect(path: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=timeout, isolation_level=None)


def test_a_file_that_cannot_be_written(tmp_path):
    path = tmp_path / "jobs.db"
    with queue(path).sync as sync:
        sync.enqueue(1)
    # Root may write what it likes, so the connection itself is a read-only one.
    with pytest.raises(DatabaseReadOnly, match="readonly database") as caught:
        store = Address(f"sqlite:///{path}").open(
            "messages", queue="another", connect=_read_only_connect
        )
        store.close()
    assert "let this user write" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what it likes")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "jobs.db"
    with queue(path).sync as sync:
        sync.enqueue(1)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        refused(path, DatabaseReadOnly, "jobs.db")
    finally:
        tmp_path.chmod(0o755)


def test_not_there_although_it_should_be(tmp_path):
    with pytest.raises(EngineError, match=r"there is no .*jobs\.db"):
        Address(f"sqlite:///{tmp_path}/jobs.db").open("messages", create=False)
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_keeps_it_locked_is_named(tmp_path, monkeypatch):
    path = tmp_path / "jobs.db"
    with queue(path).sync as sync:
        sync.enqueue(1)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        assert holder_of_write_lock(path) == holder.pid

        def connect(path: str, timeout: float) -> sqlite3.Connection:
            return sqlite3.connect(path, timeout=0.05, isolation_level=None)

        with pytest.raises(DatabaseLocked, match=f"process {holder.pid} kept it locked"):
            Address(f"sqlite:///{path}").open("messages", queue="a", connect=connect)
        holder.stdin.close()
    assert holder_of_write_lock(path) is None
    with queue(path).sync as sync:
        assert sync.statistics().ready == 1


def test_waiting_for_the_store_inside_a_transaction_of_ones_own_is_misuse(tmp_path):
    path = tmp_path / "jobs.db"
    store = Address(f"sqlite:///{path}").open(
        "messages",
        queue="a",
        connect=lambda path, timeout: sqlite3.connect(path, timeout=0.05, isolation_level=None),
    )
    mine = sqlite3.connect(path, isolation_level=None)
    with queue(path).sync as sync:
        mine.execute("BEGIN IMMEDIATE")
        with pytest.raises(Misuse, match="a connection of this process held a write transaction"):
            sync.enqueue(1)
        mine.execute("COMMIT")
        sync.enqueue(2)
        assert sync.statistics().ready == 1
    mine.close()
    store.close()


def test_one_writer_for_a_file_whatever_it_is_called(tmp_path):
    path = tmp_path / "jobs.db"
    one = Address(f"sqlite:///{path}").open("messages", queue="a")
    (tmp_path / "link.db").symlink_to(path)
    os.link(path, tmp_path / "hard.db")
    for name in ("jobs.db", "link.db", "hard.db", "../" + tmp_path.name + "/jobs.db"):
        other = Address(f"sqlite:///{tmp_path}/{name}").open("messages", queue="b")
        assert other.writer is one.writer
        other.close()
    one.close()


def test_nothing_is_left_behind(tmp_path):
    import threading

    # Threads of others may end at any time.
    before = set(threading.enumerate())
    with queue(tmp_path / "jobs.db").sync as sync:
        sync.enqueue(1)
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) <= before
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"], "no -wal, no -shm"


def test_it_is_durable_by_default(tmp_path):
    store = Address(f"sqlite:///{tmp_path}/jobs.db").open("messages", queue="a")
    from penstock._durable.writes import Kind, Write

    kind: Kind[str, object] = Kind(
        "pragma", lambda session, _now, names: [
            session.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names
        ],
    )  # fmt: skip
    assert store.writer.call(Write(kind, "synchronous")) == 2
    assert store.writer.call(Write(kind, "journal_mode")) == "wal"
    store.close()


@pytest.fixture
def small_disk():
    """A file system of 2 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "penstock", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_loses_nothing_and_ends(small_disk):
    ballast = small_disk / "ballast"
    handled = []

    async def handle(message: Message[str]) -> None:
        handled.append(message.id)

    async with queue(small_disk / "jobs.db") as full:
        kept = [await full.enqueue("x" * 1000)]
        ballast.write_bytes(bytes(1_300_000))
        with pytest.raises(DatabaseFull, match="full") as caught:
            while True:
                kept.append(await full.enqueue("x" * 20_000))
        assert "make room" in caught.value.hint
        ballast.unlink()
        assert (await full.statistics()).ready == len(kept)
        async with full.consumer(handle):
            while (await full.statistics()).depth:
                await anyio.lowlevel.checkpoint()
    assert sorted(handled) == sorted(kept)


async def test_a_consumer_goes_on_when_a_full_disk_has_room_again(small_disk, caplog):
    """What it has handled is acknowledged late, but once."""
    ballast = small_disk / "ballast"
    begun, go = anyio.Event(), anyio.Event()
    handled = []

    async def handle(message: Message[int]) -> None:
        begun.set()
        await go.wait()
        handled.append(message.data)

    async with queue(small_disk / "jobs.db") as full:
        await full.enqueue(1)
        async with full.consumer(handle):
            await begun.wait()
            with pytest.raises(OSError, match="No space"), ballast.open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            go.set()
            while "goes on trying" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            ballast.unlink()
            while (await full.statistics()).depth:
                await anyio.lowlevel.checkpoint()
    assert handled == [1]
