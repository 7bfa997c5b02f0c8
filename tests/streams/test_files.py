"""The file source: plain, gzip and zip, whole and broken; its thread and descriptor end."""

from __future__ import annotations

import gzip
import os
import random
import threading
import zipfile
from pathlib import Path

import anyio
import pytest

from penstock import Stream
from penstock.errors import Misuse, PenstockError
from penstock.streams import SourceError

pytestmark = pytest.mark.anyio

CONTENT = b"".join(b"%d,%d\n" % (n, n * 7919 % 10007) for n in range(60_000))
# What does not compress shows where an archive was cut.
NOISE = random.Random(1).randbytes(600_000)


def readers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("penstock from_file")]


def open_files(path: Path) -> list[str]:
    found = []
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except FileNotFoundError:
            continue
        if target == str(path):
            found.append(target)
    return found


def read_position(path: Path) -> int:
    (descriptor,) = (
        entry.name
        for entry in os.scandir("/proc/self/fd")
        if os.path.realpath(entry.path) == str(path)
    )
    return int(Path(f"/proc/self/fdinfo/{descriptor}").read_text().split()[1])


@pytest.fixture(params=["plain", "gzip", "gzip of two members", "stored zip", "deflated zip"])
def file(request, tmp_path) -> Path:
    path = tmp_path / "content.dat"  # the name gives nothing away
    if request.param == "plain":
        path.write_bytes(CONTENT)
    elif request.param == "gzip":
        path.write_bytes(gzip.compress(CONTENT))
    elif request.param == "gzip of two members":
        half = len(CONTENT) // 2
        path.write_bytes(
            gzip.compress(CONTENT[:half]) + gzip.compress(CONTENT[half:]) + b"\0" * 512
        )
    else:
        method = zipfile.ZIP_STORED if request.param == "stored zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("a/content.csv", CONTENT)
            archive.writestr("__MACOSX/._content.csv", b"left by a Mac")
            archive.mkdir("empty") if hasattr(archive, "mkdir") else None
    return path


@pytest.mark.parametrize("chunk_size", [1000, 256 * 1024, 1 << 22])
async def test_the_content_comes_whole_in_bounded_blocks(file, chunk_size):
    stream = Stream.from_file(file, chunk_size=chunk_size)
    blocks = await stream.collect()
    assert b"".join(blocks) == CONTENT
    assert max(map(len, blocks)) <= chunk_size
    seen = stream.statistics()
    assert seen.bytes_read == seen.bytes_total > 0
    assert not readers()
    assert not open_files(file)


async def test_lines_of_a_file_are_what_is_read(file):
    stream = Stream.from_file(file, chunk_size=10_000).lines()
    assert await stream.collect() == CONTENT.decode().splitlines()
    assert stream.statistics().read == 60_000


async def test_leaving_early_ends_the_thread_and_closes_the_file(file):
    async with Stream.from_file(file, chunk_size=100).lines() as lines:
        async for line in lines:
            assert line == "0,0"
            break
        assert readers()
        assert open_files(file)
    assert not readers()
    assert not open_files(file)


async def test_a_cancel_ends_the_thread_and_closes_the_file(file):
    with anyio.CancelScope() as scope:
        async with Stream.from_file(file, chunk_size=100) as blocks:
            async for _ in blocks:
                scope.cancel()
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not readers()
    assert not open_files(file)


async def test_a_stream_that_is_never_iterated_is_closed(file):
    async with Stream.from_file(file).buffer(1):
        pass
    assert not readers()
    assert not open_files(file)


async def test_it_reads_no_further_ahead_than_it_says(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(1_000_000))
    async with Stream.from_file(path, chunk_size=1000) as blocks:
        await anext(blocks)
        source = blocks.statistics().stages[0]
        while source.buffered < 2:  # until the reader has done all it may
            await anyio.lowlevel.checkpoint()
            source = blocks.statistics().stages[0]
        assert source.items_out == 1
        assert blocks.statistics().bytes_read == 1000
        assert read_position(path) <= 4000  # ours, two waiting, one in the reader's hands


@pytest.mark.parametrize("archive", ["gzip", "zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
async def test_a_damaged_archive_is_named_with_the_position(tmp_path, archive, damage):
    path = tmp_path / "noise"
    if archive == "gzip":
        path.write_bytes(gzip.compress(NOISE))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("noise", NOISE)
    stored = bytearray(path.read_bytes())
    if damage == "cut":
        if archive == "zip":  # keep the directory at the end, lose half of the member
            del stored[150_000:450_000]
        else:
            del stored[300_000:]
    else:
        stored[300_000] ^= 0xFF
    path.write_bytes(stored)
    got = []
    with pytest.raises(SourceError) as caught:
        async with Stream.from_file(path, chunk_size=10_000) as blocks:
            async for block in blocks:
                got.append(block)  # noqa: PERF401 - what came before the error counts
    error = caught.value
    assert isinstance(error, OSError)
    assert error.path == str(path)
    assert str(path) in str(error)
    assert error.hint
    assert error.position == sum(map(len, got)) or archive == "zip"
    assert not readers()
    assert not open_files(path)


async def test_a_zip_cut_off_before_its_directory(tmp_path):
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise", NOISE)
    path.write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(SourceError, match=r"cut\.zip: cannot read the zip: File is not a zip"):
        await Stream.from_file(path).collect()


async def test_members(tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.csv", b"1\n")
        archive.writestr("two.csv", b"2\n")
    assert await Stream.from_file(path, member="two.csv").lines().collect() == ["2"]
    with pytest.raises(Misuse, match="the zip holds 2 files") as caught:
        await Stream.from_file(path).collect()
    assert caught.value.hint == "choose one with member=: 'one.csv', 'two.csv'"
    with pytest.raises(Misuse, match=r"two\.zip: no member 'three'"):
        await Stream.from_file(path, member="three").collect()
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    with pytest.raises(Misuse, match="member='x' was asked for, but the file is not a zip"):
        await Stream.from_file(plain, member="x").collect()
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(SourceError, match="it holds no file"):
        await Stream.from_file(path).collect()


async def test_what_is_no_file(tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        async with Stream.from_file(missing):
            pytest.fail("a missing file was opened")
    assert caught.value.filename == str(missing)
    assert caught.value.__notes__ == ["hint: check the path, and the directory it is relative to"]
    with pytest.raises(IsADirectoryError, match="is a directory, not a file") as caught:
        await Stream.from_file(tmp_path).collect()
    assert caught.value.filename == str(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SourceError, match="fifo: not a regular file"):
        await Stream.from_file(fifo).collect()
    assert not readers()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_read(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(PermissionError):
        await Stream.from_file(path).collect()


async def test_an_empty_file_has_no_blocks(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    assert await Stream.from_file(path).collect() == []
    assert await Stream.from_file(path).lines().collect() == []


async def test_the_loop_runs_while_the_file_is_read(file):
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await Stream.from_file(file, chunk_size=10_000).lines().map(str.upper).count()
        group.cancel_scope.cancel()
    assert turns > 3


def test_every_error_of_ours_is_one_of_the_taxonomy():
    assert issubclass(SourceError, PenstockError)
