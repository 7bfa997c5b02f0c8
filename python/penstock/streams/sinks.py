"""Where a stream ends: any callable, or a file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from inspect import isawaitable, iscoroutinefunction
from itertools import islice
from operator import length_hint
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from anyio import CancelScope
from anyio.to_thread import run_sync

from penstock.errors import Misuse

from . import arguments as check
from .errors import locate
from .pace import Fairness, Slice
from .statistics import StageStatistics, Tally

__all__ = ("CallableSink", "FileSink", "Fold", "Sink", "to_file")

_BLOCK: Final = 256 * 1024


class Sink(ABC):
    """The last stage of `Stream.to`: opened, given lists, then closed, or discarded."""

    name: str

    def __init__(self) -> None:
        self.tally = Tally()

    async def open(self) -> None:  # noqa: B027
        """Get ready; nothing is visible outside yet."""

    @abstractmethod
    async def write(self, items: list[Any]) -> None:
        """Take all items, counting each in `tally`."""

    async def close(self) -> None:  # noqa: B027
        """All items have been written: make it final."""

    async def discard(self) -> None:  # noqa: B027
        """Something failed, maybe `close` itself: undo what can be undone."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.close()
                return
        except BaseException:
            await self._discard_shielded()
            raise
        await self._discard_shielded()

    async def _discard_shielded(self) -> None:
        with CancelScope(shield=True):
            await self.discard()

    def statistics(self) -> StageStatistics:
        tally = self.tally
        return StageStatistics(self.name, tally.items_in, tally.items_out, 0, None, 0)


class CallableSink(Sink):
    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.name = name
        self._fn = fn
        self._awaits: bool | None = True if iscoroutinefunction(fn) else None
        self._slice = Slice()
        self._fairness = Fairness()

    async def write(self, items: list[Any]) -> None:
        self.tally.items_in += len(items)
        rest = iter(items)
        self._slice.begin()
        try:
            while length_hint(rest):
                if self._awaits is False:
                    self._run(islice(rest, self._slice.round))
                    if self._slice.is_over():
                        await self._fairness.turn()
                        self._slice.begin()
                else:
                    await self._one(next(rest))
        except Exception as error:
            position = self.tally.items_in - length_hint(rest)
            self.tally.items_out = position - 1
            locate(error, f"sink {self.name}", position)
            raise
        self.tally.items_out = self.tally.items_in

    async def _one(self, item: Any) -> None:
        result = self._fn(item)
        if self._awaits is None:
            self._awaits = isawaitable(result)
        if isawaitable(result):
            await result

    def _run(self, items: Iterator[Any]) -> None:
        fn = self._fn
        for item in items:
            fn(item)


class Fold(CallableSink):
    """The sink of `reduce`: keeps one value."""

    def __init__(self, name: str, fn: Callable[..., Any], initial: Any) -> None:
        super().__init__(name, fn)
        self.value = initial

    async def _one(self, item: Any) -> None:
        result = self._fn(self.value, item)
        if self._awaits is None:
            self._awaits = isawaitable(result)
        self.value = await result if isawaitable(result) else result

    def _run(self, items: Iterator[Any]) -> None:
        fn, value = self._fn, self.value
        for item in items:
            value = fn(value, item)
        self.value = value


class FileSink(Sink):
    """Writes beside the target in a thread, 256 KiB at a time, and renames at the end."""

    def __init__(self, path: Path, encoding: str, end: str) -> None:
        super().__init__()
        self.name = f"to_file({path.name})"
        self._path = path
        self._target = path
        self._temporary: Path | None = None
        self._encoding = encoding
        self._end = end.encode(encoding)
        self._descriptor = -1
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    async def open(self) -> None:
        self.tally = Tally()
        await run_sync(self._create)

    async def write(self, items: list[Any]) -> None:
        tally = self.tally
        tally.items_in += len(items)
        for item in items:
            try:
                data = self._encoded(item)
            except (TypeError, ValueError) as error:
                locate(error, f"sink {self.name}", tally.items_out + 1)
                raise
            self._parts.append(data + self._end if self._end else data)
            self._parts_bytes += len(data)
            tally.items_out += 1
            if self._parts_bytes >= _BLOCK:
                await self._flush()

    def _encoded(self, item: Any) -> bytes:
        if isinstance(item, str):
            return item.encode(self._encoding)
        # Not bytes(item): that makes n zeros of a number n.
        return item if isinstance(item, bytes) else bytes(memoryview(item))

    async def close(self) -> None:
        await self._flush()
        await run_sync(self._replace)

    async def discard(self) -> None:
        await run_sync(self._remove)

    async def _flush(self) -> None:
        block, self._parts, self._parts_bytes = b"".join(self._parts), [], 0
        await run_sync(self._write, block)

    def _create(self) -> None:
        target = self._path.resolve()  # a link stays a link: what it names is replaced
        mode = 0o666
        if target.is_dir():
            error = IsADirectoryError(errno.EISDIR, "is a directory, not a file", str(target))
            error.add_note("hint: name the file to write")
            raise error
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._descriptor = os.open(temporary, flags, mode)
        except OSError as error:
            error.add_note(f"hint: a file is written beside itself first; check {target.parent}")
            raise
        self._target, self._temporary = target, temporary

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _replace(self) -> None:
        # Without the fsync a crash of the machine may leave the new name with no content.
        os.fsync(self._descriptor)
        self._close_descriptor()
        assert self._temporary is not None
        self._temporary.replace(self._target)
        self._temporary = None

    def _remove(self) -> None:
        self._close_descriptor()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            temporary.unlink()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def to_file(path: str | os.PathLike[str], *, encoding: str = "utf-8", end: str = "") -> FileSink:
    r"""Return a sink for `Stream.to`: a file that appears whole or not at all.

    Items are bytes, or text, which is encoded; `end` is written after each: give `end="\n"` for
    lines. Everything goes to a temporary file in the same directory; when the stream has ended
    it is flushed to the disk and renamed to `path`, replacing what was there (its permissions
    are kept). If the stream fails or is cancelled, `path` stays as it was and the temporary file
    is removed. Writing runs in a thread, 256 KiB at a time; at most that much waits in memory.
    One sink serves one run at a time. An unknown encoding is refused with `Misuse`.
    """
    try:
        end.encode(encoding)
    except (LookupError, UnicodeEncodeError) as error:
        raise Misuse(
            f"to_file: cannot write {end!r} as {encoding!r}: {error}",
            hint='use an encoding that Python knows, such as "utf-8"',
        ) from None
    return FileSink(check.path("to_file", path), encoding, end)
