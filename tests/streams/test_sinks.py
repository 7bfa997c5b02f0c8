"""Sinks: callables of both colours, and a file that appears whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from penstock import Stream
from penstock.errors import Misuse
from penstock.streams import to_file

pytestmark = pytest.mark.anyio


async def test_each_item_is_given_once_in_order_and_counted():
    got = []

    async def sink(item: int) -> None:
        await checkpoint()
        got.append(item)

    def found_out(item: int) -> Awaitable[None]:
        return sink(item)

    for target in (got.append, sink, found_out):
        got.clear()
        done = await (
            Stream.from_iterable(range(3000))
            .filter(lambda x: x % 3)
            .map(lambda x: 1 // (x % 10), on_error="skip")
            .to(target)
        )
        assert len(got) == done.written == 1800
        assert (done.read, done.dropped) == (3000, 200)
        assert done.seconds > 0
        assert [stage.items_out for stage in done.stages] == [3000, 2000, 1800, 1800]


async def test_reduce_with_both_colours():
    async def add(total: int, item: int) -> int:
        await checkpoint()
        return total + item

    stream = Stream.from_iterable(range(2000))
    assert await stream.reduce(add, 0) == await stream.reduce(int.__add__, 0) == 1999000
    assert await Stream.from_iterable([]).reduce(add, 7) == 7
    with pytest.raises(TypeError) as caught:
        await Stream.from_iterable([1, "2"]).reduce(lambda a, b: a + b, 0)
    assert caught.value.__notes__ == ["penstock: raised in sink reduce(<lambda>), item 2"]


async def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "out.txt"
    lines = [f"line {n}" for n in range(50_000)]
    done = await Stream.from_iterable(lines).to(to_file(path, end="\n"))
    assert done.written == 50_000
    assert path.read_text() == "".join(f"{line}\n" for line in lines)
    path.chmod(0o640)
    await Stream.from_iterable([b"raw ", bytearray(b"bytes"), "é"]).to(
        to_file(path, encoding="latin-1")
    )
    assert path.read_bytes() == b"raw bytes\xe9"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out.txt"]
    await Stream.from_iterable([]).to(to_file(path))
    assert path.read_bytes() == b""


async def test_a_new_file_has_the_rights_of_the_umask(tmp_path):
    path = tmp_path / "out.txt"
    await Stream.from_iterable(["x"]).to(to_file(path))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


async def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    await Stream.from_iterable(["new"]).to(to_file(link))
    assert link.is_symlink()
    assert real.read_text() == "new"


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("how", ["stage fails", "bad item", "cancelled"])
async def test_a_failure_leaves_the_file_as_it_was(tmp_path, existed, how):
    path = tmp_path / "out.txt"
    if existed:
        path.write_text("old")

    def work(item: int) -> object:
        if item == 30_000 and how == "stage fails":
            raise KeyError(item)
        if item == 30_000 and how == "cancelled":
            scope.cancel()
        return item if item == 30_000 and how == "bad item" else f"{item:09}"

    stream = Stream.from_iterable(range(60_000)).map(work)
    with anyio.CancelScope() as scope:
        if how == "cancelled":
            await stream.to(to_file(path))
            pytest.fail("the cancel was not seen")
        with pytest.raises(KeyError if how == "stage fails" else TypeError) as caught:
            await stream.to(to_file(path))
        if how == "bad item":
            assert caught.value.__notes__ == [
                "penstock: raised in sink to_file(out.txt), item 30,001"
            ]
    assert os.listdir(tmp_path) == (["out.txt"] if existed else [])
    if existed:
        assert path.read_text() == "old"


async def test_what_cannot_be_written(tmp_path):
    with pytest.raises(IsADirectoryError):
        await Stream.from_iterable(["x"]).to(to_file(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        await Stream.from_iterable(["x"]).to(to_file(tmp_path / "no" / "such"))
    assert f"check {tmp_path / 'no'}" in caught.value.__notes__[0]
    with pytest.raises(Misuse, match="to_file: cannot write"):
        to_file(tmp_path / "x", encoding="latin-42")
    with pytest.raises(Misuse, match="to_file: path must be a str or a PathLike of str, got 3"):
        to_file(3)


async def test_a_sink_must_be_callable():
    with pytest.raises(Misuse, match=r"Stream\.to: fn must be callable, got 'x' \(str\)"):
        await Stream.from_iterable([1]).to("x")
