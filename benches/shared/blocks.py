"""Bytes, 1 KiB each, from one process to another: one by one, and in batches."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from typing import Any

from benches.case import Case, Target, rate
from benches.shared import peers
from benches.shared.peers import BATCH, BOUND, Get, Put, Way
from benches.shared.streaming import Items, giving_lists, lists, streaming
from benches.shared.ways import MEBIBYTES, MULTIPROCESSING_QUEUE, PENSTOCK_BATCHES, PYZMQ_LISTS
from benches.units import ITEMS

SIZE = 1024
REST = bytes(range(256)) * 4  # what follows a block's number


def block(number: int) -> bytes:
    return number.to_bytes(8, "little") + REST[8:]


BLOCKS = Items(block, itemgetter(slice(0, 8)))


@contextmanager
def iceoryx_put(name: str) -> Iterator[Put]:
    with peers.iceoryx_publisher(name, SIZE, BOUND) as publisher:
        loan, move = publisher.loan_slice_uninit, ctypes.memmove

        def put(item: bytes) -> None:
            sample = loan(SIZE)
            move(sample.payload_ptr, item, SIZE)
            sample.assume_init().send()

        yield put


@contextmanager
def iceoryx_get(name: str) -> Iterator[Get]:
    with peers.iceoryx_polled(name, BOUND) as poll:
        copied = ctypes.string_at

        def get() -> bytes:
            sample = poll()
            item: bytes = copied(sample.payload_ptr, SIZE)
            sample.delete()
            return item

        yield get


UNCHANGED: dict[str, Callable[[Any], Any]] = {"dumps": peers.as_it_is, "loads": bytes}

ONE_BY_ONE = (
    Way(
        "penstock.SharedQueue",
        f"`put_bytes` and `get_bytes`, max_bytes {MEBIBYTES}, its default",
        peers.penstock_queue,
        peers.penstock_put_bytes,
        peers.penstock_get_bytes,
        "penstock",
    ),
    Way(
        "pyzmq",
        "PUSH and PULL over ipc, `send` and `recv`; high-water marks of 1000, its default",
        peers.ipc_address,
        peers.zmq_put_bytes,
        peers.zmq_get_bytes,
        "pyzmq",
    ),
    Way(
        "multiprocessing.Pipe",
        "`send_bytes` and `recv_bytes` of a pipe with one direction",
        peers.one_way_pipe,
        peers.pipe_put_bytes,
        peers.pipe_get_bytes,
    ),
    MULTIPROCESSING_QUEUE,
    Way(
        "faster-fifo",
        f"`put` and `get` without pickle, {MEBIBYTES}",
        partial(peers.faster_fifo_queue, **UNCHANGED),
        peers.queue_put,
        peers.queue_get,
        "faster-fifo",
    ),
    Way(
        "iceoryx2, polling",
        "slices loaned and copied into; `receive` asked again until it has one, copied out; "
        f"a buffer of {BOUND}",
        peers.iceoryx_name,
        iceoryx_put,
        iceoryx_get,
        "iceoryx2",
    ),
)

BATCHES = (
    PENSTOCK_BATCHES,
    PYZMQ_LISTS,
    Way(
        "faster-fifo",
        f"`put_many` of {BATCH} and `get_many` of up to {BATCH} without pickle, {MEBIBYTES}",
        partial(peers.faster_fifo_queue, **UNCHANGED),
        peers.faster_fifo_put_many,
        peers.faster_fifo_get_many,
        "faster-fifo",
    ),
)

CASES = (
    Case(
        room="shared",
        name="bytes-1-kib",
        question="How many blocks of 1 KiB a second pass from one process to another, one by one?",
        contenders=[streaming(way, BLOCKS) for way in ONE_BY_ONE],
        is_right=BLOCKS.all_came,
        figures=[rate(ITEMS)],
        targets=[Target(3, "pyzmq")],
    ),
    Case(
        room="shared",
        name="bytes-1-kib-batches",
        question=f"How many blocks of 1 KiB a second pass between processes in batches of {BATCH}?",
        contenders=[streaming(way, BLOCKS, giving_lists, lists) for way in BATCHES],
        is_right=BLOCKS.all_came,
        figures=[rate(ITEMS)],
        targets=[Target(3, "pyzmq")],
    ),
)
