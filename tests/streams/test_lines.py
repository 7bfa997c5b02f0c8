"""Lines: every cut of the same bytes into blocks gives the same lines, and bad ones are named."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Stream
from penstock.errors import Misuse
from penstock.streams import LineError

pytestmark = pytest.mark.anyio


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def meaning(content: bytes, *, keep_ends: bool) -> list[str]:
    pieces = content.decode().split("\n")
    last = pieces.pop()
    if keep_ends:
        return [piece + "\n" for piece in pieces] + ([last] if last else [])
    return [piece.removesuffix("\r") for piece in pieces] + ([last] if last else [])


TEXT = st.text(st.sampled_from("ab,é€\U0001f600\r\n\x0b\x1c\x85\u2028"), max_size=60)


@given(text=TEXT, size=st.integers(1, 70), keep_ends=st.booleans(), max_bytes=st.integers(4, 300))
def test_lines_do_not_depend_on_blocks(text, size, keep_ends, max_bytes):
    content = text.encode()
    lines = meaning(content, keep_ends=keep_ends)
    stream = Stream.from_iterable(cut(content, size)).lines(
        keep_ends=keep_ends, max_bytes=max_bytes, on_error="skip"
    )
    bare = [len(piece.removesuffix(b"\r")) for piece in content.split(b"\n")]
    bare[-1] = len(content.split(b"\n")[-1])
    expected = [line for line, length in zip(lines, bare, strict=False) if length <= max_bytes]
    assert drained(stream.collect()) == expected


def drained(coroutine):
    async def main():
        return await coroutine

    return anyio.run(main)


async def test_the_last_line_needs_no_end():
    blocks = [b"one\ntw", b"o\r\nthr", b"ee"]
    assert await Stream.from_iterable(blocks).lines().collect() == ["one", "two", "three"]
    assert await Stream.from_iterable([b"one\n"]).lines().collect() == ["one"]
    assert await Stream.from_iterable([b"\n\n"]).lines().collect() == ["", ""]
    assert await Stream.from_iterable([b""]).lines().collect() == []


async def test_a_line_end_may_be_split_between_blocks():
    assert await Stream.from_iterable([b"a\r", b"\nb"]).lines().collect() == ["a", "b"]
    kept = Stream.from_iterable([b"a\r", b"\nb\r"]).lines(keep_ends=True)
    assert await kept.collect() == ["a\r\n", "b\r"]


async def test_an_undecodable_line_stops_with_its_number_after_the_lines_before():
    got = []
    stream = Stream.from_iterable([b"one\ntwo\nth\xff", b"ree\nfour\n"]).lines()
    with pytest.raises(LineError, match=r"stage 1 lines: line 3 is not utf-8: byte 0xff at") as at:
        async with stream as items:
            async for line in items:
                got.append(line)  # noqa: PERF401 - what came before the error counts
    assert got == ["one", "two"]
    assert at.value.line == 3
    assert isinstance(at.value, ValueError)
    assert isinstance(at.value.__cause__, UnicodeDecodeError)
    assert "column 3" in str(at.value)


async def test_undecodable_lines_go_to_the_receiver_and_the_rest_goes_on():
    refused = []
    stream = Stream.from_iterable([b"one\n\xff\nthree\n\xfe"]).lines(
        on_error=lambda line, error: refused.append((line, error.line))
    )
    assert await stream.collect() == ["one", "three"]
    assert refused == [(b"\xff", 2), (b"\xfe", 4)]
    assert stream.statistics().stage("lines").dropped == 2


async def test_a_line_without_an_end_is_refused_before_memory_fills():
    def endless():
        while True:
            yield b"x" * 1000

    with pytest.raises(LineError, match="line 1 is longer than 5,000 bytes"):
        await Stream.from_iterable(endless(), chunk_size=1).lines(max_bytes=5000).collect()


async def test_after_a_line_that_is_too_long_the_next_is_read():
    refused = []
    blocks = [b"one\n" + b"x" * 8, b"x" * 8, b"x\ntwo\n", b"y" * 11 + b"\nthree"]
    stream = Stream.from_iterable(blocks).lines(
        max_bytes=10, on_error=lambda line, error: refused.append((line, error.line))
    )
    assert await stream.collect() == ["one", "two", "three"]
    assert refused == [(b"x" * 10, 2), (b"y" * 10, 4)]


async def test_a_line_of_exactly_max_bytes_passes_whatever_ends_it():
    blocks = [b"0123456789", b"\r", b"\n0123456789\n", b"0123456789"]
    assert await Stream.from_iterable(blocks).lines(max_bytes=10).collect() == ["0123456789"] * 3


async def test_encodings():
    latin = Stream.from_iterable(["é\nü".encode("latin-1")]).lines(encoding="latin-1")
    assert await latin.collect() == ["é", "ü"]
    marked = Stream.from_iterable([b"\xef\xbb", b"\xbfa\n\xef\xbb\xbfb\n"])
    assert await marked.lines(encoding="utf-8-sig").collect() == ["a", "\ufeffb"]
    for encoding in ("utf-16", "utf-32-le"):
        with pytest.raises(Misuse, match=rf"stage 1 lines: lines in '{encoding}' do not end"):
            marked.lines(encoding=encoding)
    for encoding in ("latin-42", "hex"):
        with pytest.raises(Misuse, match=f"unknown text encoding '{encoding}'"):
            marked.lines(encoding=encoding)


async def test_text_is_not_a_block():
    with pytest.raises(TypeError, match=r"lines\(\) needs blocks of bytes, got str") as caught:
        await Stream.from_iterable(["a"]).lines().collect()
    assert caught.value.__notes__ == ["penstock: raised in stage 1 lines"]
