"""The C interface as cffi sees it: the functions of the extension that this process has loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cffi

import penstock

HEADER = Path(penstock.include_dir(), "penstock.h")
AT_ONCE = 0
PATIENCE = 30_000
"""Milliseconds: a ceiling against hangs."""


def declarations() -> str:
    """What of the header stands between its two lines that say so."""
    return HEADER.read_text(encoding="utf-8").split("/* ---- declarations ---- */")[1]


ffi = cffi.FFI()
ffi.cdef(declarations())


def open_library(path: str) -> Any:
    return ffi.dlopen(path)


lib = open_library(penstock.extension_path())


def code(number: int) -> str:
    """The name of a code, without what all have in front."""
    name = ffi.typeof("penstock_code").elements[number]
    return name.removeprefix("PENSTOCK_")


def told() -> str:
    """Why this thread's last call that failed did."""
    return ffi.string(lib.penstock_last_error()).decode()


class Failed(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"{code(number)}: {told()}")
        self.code = code(number)


def check(number: int) -> None:
    if number != lib.PENSTOCK_OK:
        raise Failed(number)


class Handle:
    """A handle, and the functions with their buffers at hand."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    @classmethod
    def attach(cls, fd: int) -> Handle:
        place = ffi.new("penstock_queue **")
        check(lib.penstock_attach(fd, place))
        return cls(place[0])

    @classmethod
    def attach_name(cls, name: str, timeout: int = PATIENCE) -> Handle:
        place = ffi.new("penstock_queue **")
        check(lib.penstock_attach_name(name.encode(), timeout, place))
        return cls(place[0])

    def close(self) -> None:
        check(lib.penstock_close(self.queue))

    def send(self, record: bytes, timeout: int = AT_ONCE) -> None:
        check(lib.penstock_send(self.queue, record, len(record), timeout))

    def send_many(self, records: list[bytes], timeout: int = AT_ONCE) -> int:
        kept = [ffi.new("char[]", record) for record in records]
        array = ffi.new("penstock_bytes[]", len(records))
        for place, bytes_, record in zip(array, kept, records, strict=True):
            place.bytes, place.length = bytes_, len(record)
        sent = ffi.new("size_t *")
        number = lib.penstock_send_many(self.queue, array, len(records), timeout, sent)
        self.sent = int(sent[0])
        check(number)
        return self.sent

    def claim(self, record: bytes) -> Any:
        """A claim with those bytes in it."""
        claim = ffi.new("penstock_claimed *")
        check(lib.penstock_claim(self.queue, len(record), claim))
        ffi.memmove(claim.bytes, record, len(record))
        return claim

    def commit(self, claim: Any, timeout: int = AT_ONCE) -> None:
        check(lib.penstock_commit(self.queue, claim, timeout))

    def abandon(self, claim: Any) -> None:
        check(lib.penstock_abandon(self.queue, claim))

    def receive(self, capacity: int = 4096, timeout: int = AT_ONCE) -> tuple[int, bytes]:
        """The kind of a record, and its bytes."""
        buffer, record = ffi.new("char[]", max(capacity, 1)), ffi.new("penstock_record *")
        check(lib.penstock_receive(self.queue, buffer, capacity, record, timeout))
        self.record = record
        return record.kind, bytes(ffi.buffer(buffer + record.offset, record.length))

    def receive_many(self, capacity: int, most: int, timeout: int = AT_ONCE) -> list[bytes]:
        buffer, records = ffi.new("char[]", capacity), ffi.new("penstock_record[]", most)
        received = ffi.new("size_t *")
        check(
            lib.penstock_receive_many(
                self.queue, buffer, capacity, records, most, timeout, received
            )
        )
        found = ffi.unpack(records, received[0])
        return [bytes(ffi.buffer(buffer + it.offset, it.length)) for it in found]

    def wait(self, side: int, timeout: int = AT_ONCE) -> None:
        check(lib.penstock_wait(self.queue, side, timeout))

    def shutdown(self, *, immediate: bool = False) -> None:
        check(lib.penstock_shutdown(self.queue, immediate))

    def figures(self) -> Any:
        figures = ffi.new("penstock_figures *")
        check(lib.penstock_statistics(self.queue, figures, ffi.sizeof("penstock_figures")))
        return figures
