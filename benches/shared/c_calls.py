"""Two ways from Python into the same Rust: the extension's methods, and cffi on its C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, cost
from benches.shared.peers import MAX_BYTES, penstock_queue
from benches.shared.records import SIZE

RECORD = bytes(range(SIZE))


def declared() -> Any:
    """The interface by cffi, in the mode that needs no compiler."""
    import cffi

    import penstock

    header = Path(penstock.include_dir(), "penstock.h").read_text(encoding="utf-8")
    ffi = cffi.FFI()
    ffi.cdef(header.split("/* ---- declarations ---- */")[1])
    return ffi, ffi.dlopen(penstock.extension_path())


# --- a record in and out --------------------------------------------------------------------


def alternated(put: Callable[[bytes], Any], get: Callable[[], bytes]) -> Work:
    def work(n: int) -> Lap:
        last = b""
        started = perf_counter_ns()
        for _ in range(n):
            put(RECORD)
            last = get()
        return Lap.since(started, (n, last))

    return work


@contextmanager
def by_methods() -> Iterator[Work]:
    with penstock_queue(max_bytes=MAX_BYTES) as queue:
        yield alternated(queue.put_bytes, queue.get_bytes)


@contextmanager
def by_functions() -> Iterator[Work]:
    ffi, lib = declared()
    with penstock_queue(max_bytes=MAX_BYTES) as queue:
        place = ffi.new("penstock_queue **")
        assert lib.penstock_attach(queue.fileno(), place) == lib.PENSTOCK_OK
        handle = place[0]
        buffer, record = ffi.new("char[]", SIZE), ffi.new("penstock_record *")
        send, receive, view = lib.penstock_send, lib.penstock_receive, ffi.buffer(buffer, SIZE)

        def get() -> bytes:
            if receive(handle, buffer, SIZE, record, -1) != 0:
                raise RuntimeError(ffi.string(lib.penstock_last_error()))
            content: bytes = view[: record.length]
            return content

        yield alternated(lambda content: send(handle, content, SIZE, -1), get)
        assert lib.penstock_close(handle) == lib.PENSTOCK_OK


# --- the way alone --------------------------------------------------------------------------


def called(function: Callable[[], int]) -> Work:
    """Of a function that does next to nothing; what it says is always the same."""
    wanted = function()

    def work(n: int) -> Lap:
        same = True
        started = perf_counter_ns()
        for _ in range(n):
            same = function() == wanted and same
        return Lap.since(started, (n, same))

    return work


@contextmanager
def a_method() -> Iterator[Work]:
    with penstock_queue() as queue:
        yield called(queue.fileno)


@contextmanager
def a_function() -> Iterator[Work]:
    yield called(declared()[1].penstock_abi)


@contextmanager
def a_ctypes_function() -> Iterator[Work]:
    import penstock

    function = ctypes.CDLL(penstock.extension_path()).penstock_abi
    function.restype, function.argtypes = ctypes.c_uint32, ()
    yield called(function)


CASES = (
    Case(
        room="shared",
        name="c-put-get",
        question=f"What do a put and a get of {SIZE} bytes cost in one thread, by either way in?",
        contenders=[
            Contender("PyO3", "`put_bytes` and `get_bytes`", by_methods, "penstock"),
            Contender(
                "cffi",
                "`penstock_send` and `penstock_receive` of the extension, ABI mode, one buffer",
                by_functions,
                "cffi",
            ),
        ],
        is_right=lambda n, answer: answer == (n, RECORD),
        figures=[cost()],
        targets=[Target(1, "cffi")],
    ),
    Case(
        room="shared",
        name="c-call",
        question="What does a call into Rust cost that does next to nothing?",
        contenders=[
            Contender("PyO3", "the method `fileno`", a_method, "penstock"),
            Contender("cffi", "`penstock_abi`, ABI mode", a_function, "cffi"),
            Contender("ctypes", "`penstock_abi`", a_ctypes_function),
        ],
        is_right=lambda n, answer: answer == (n, True),
        figures=[cost()],
        targets=[Target(1, "cffi"), Target(1, "ctypes")],
    ),
)
