"""Lines from blocks of bytes.

A block up to its last line end is decoded and split as a whole, which costs a tenth of decoding
line by line; only a block that will not decode, or may hold a line that is too long, is gone
through again line by line. What follows the last line end waits for the next block, never more
than `max_bytes` of it.
"""

from __future__ import annotations

import codecs
from typing import Any

from penstock.errors import Misuse

from .errors import LineError
from .policy import Policy
from .step import Step

__all__ = ("Lines", "check_encoding")

_BOM = codecs.BOM_UTF8


def check_encoding(encoding: str, stage: str) -> str:
    """Return the codec's own name, or refuse one that cannot be split at the byte 0x0A."""
    try:
        name = codecs.lookup(encoding).name
        end = "\n".encode(encoding)
    except LookupError:
        raise Misuse(
            f"{stage}: unknown text encoding {encoding!r}",
            hint='use a name that Python knows, such as "utf-8" or "latin-1"',
        ) from None
    if name != "utf-8-sig" and end != b"\n":
        raise Misuse(
            f"{stage}: lines in {encoding!r} do not end with the byte 0x0A",
            hint="convert the file to UTF-8 first, for example with iconv -t UTF-8",
        )
    return name


class Lines(Step):
    r"""Text lines, ended by "\n" or "\r\n"; a lone "\r" ends none."""

    def __init__(
        self,
        name: str,
        upstream: Step,
        encoding: str,
        max_bytes: int,
        keep_ends: bool,
        policy: Policy,
    ) -> None:
        super().__init__(name, upstream)
        self._skips_bom = encoding == "utf-8-sig"
        self._encoding = "utf-8" if self._skips_bom else encoding
        self._max_bytes = max_bytes
        self._keep_ends = keep_ends
        self._policy = policy
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._overflown = False
        self._line = 0
        self._ended = False

    async def pull(self, want: int) -> list[Any] | None:
        if self._failure is not None:
            raise self._failure
        blocks = await self._receive(want)
        out: list[Any] = []
        if blocks is None:
            if self._ended:
                return None
            self._ended = True
            last, self._tail, self._tail_bytes = b"".join(self._tail), [], 0
            if not last or self._overflown:
                return None
            failure = await self._line_by_line([last], out, terminated=False)
        else:
            failure = None
            for block in blocks:
                failure = await self._split(block, out)
                if failure is not None:
                    break
        if failure is not None:
            return self._fail(failure, None, out)
        return self._emit(out)

    async def _split(self, block: object, out: list[Any]) -> Exception | None:
        if not isinstance(block, bytes | bytearray | memoryview):
            return TypeError(f"lines() needs blocks of bytes, got {type(block).__name__}")
        return await self._cut(bytes(block), out)

    async def _cut(self, block: bytes, out: list[Any]) -> Exception | None:
        end = block.rfind(b"\n") + 1
        if not end:
            return await self._keep(block)
        if self._overflown:  # the end of a line that has been reported
            begin = block.find(b"\n") + 1
            self._overflown = False
            whole = block[begin:end]
        elif self._tail:
            self._tail.append(block[:end])
            whole = b"".join(self._tail)
        else:
            whole = block[:end]
        self._tail, self._tail_bytes = [], 0
        failure = await self._whole_lines(whole, out)
        return failure or await self._keep(block[end:])

    async def _keep(self, rest: bytes) -> Exception | None:
        """Hold the beginning of a line whose end has not come, unless it is already too long."""
        if not rest or self._overflown:
            return None
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        # One byte more may be the "\r" of the line's end.
        if self._tail_bytes <= self._max_bytes + 1:
            return None
        begun = b"".join(self._tail)[: self._max_bytes]
        self._tail, self._tail_bytes, self._overflown = [], 0, True
        self._line += 1
        return await self._refuse(begun, self._too_long())

    async def _whole_lines(self, whole: bytes, out: list[Any]) -> Exception | None:
        if not whole:
            return None
        if self._skips_bom and not self._line:
            whole, self._skips_bom = whole.removeprefix(_BOM), False
        if len(whole) <= self._max_bytes or max(map(len, whole.split(b"\n"))) <= self._max_bytes:
            try:
                text = whole.decode(self._encoding)
            except UnicodeDecodeError:
                pass
            else:
                if not self._keep_ends and "\r" in text:
                    text = text.replace("\r\n", "\n")
                lines = text.split("\n")
                lines.pop()
                self._line += len(lines)
                out += [line + "\n" for line in lines] if self._keep_ends else lines
                return None
        pieces = whole.split(b"\n")
        pieces.pop()
        return await self._line_by_line(pieces, out, terminated=True)

    async def _line_by_line(
        self, pieces: list[bytes], out: list[Any], *, terminated: bool
    ) -> Exception | None:
        for piece in pieces:
            if self._skips_bom and not self._line:
                piece, self._skips_bom = piece.removeprefix(_BOM), False  # noqa: PLW2901
            self._line += 1
            bare = piece.removesuffix(b"\r") if terminated else piece
            error: LineError | None = None
            if len(bare) > self._max_bytes:
                error = self._too_long()
                bare = bare[: self._max_bytes]
            else:
                try:
                    text = (piece if self._keep_ends else bare).decode(self._encoding)
                except UnicodeDecodeError as cause:
                    error = self._undecodable(bare, cause)
            if error is None:
                out.append(text + "\n" if self._keep_ends and terminated else text)
            elif (failure := await self._refuse(bare, error)) is not None:
                return failure
        return None

    async def _refuse(self, line: bytes, error: LineError) -> Exception | None:
        return await self._settle(self._policy, line, error, self._line)

    def _too_long(self) -> LineError:
        return LineError(
            f"{self.label}: line {self._line:,} is longer than {self._max_bytes:,} bytes",
            line=self._line,
            hint="raise max_bytes, or check that the file has lines at all",
        )

    def _undecodable(self, line: bytes, cause: UnicodeDecodeError) -> LineError:
        error = LineError(
            f"{self.label}: line {self._line:,} is not {self._encoding}: byte "
            f"0x{line[cause.start]:02x} at column {cause.start + 1:,}",
            line=self._line,
            hint='name the file\'s encoding, or go on with on_error="skip" or a callable',
        )
        error.__cause__ = cause
        return error
