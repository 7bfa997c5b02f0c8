"""Small dicts from one process to another: one by one, and in batches."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import Any

from benches.case import Case, Target, rate
from benches.shared import peers
from benches.shared.peers import BATCH, BOUND, Way
from benches.shared.streaming import Items, giving_iterable, giving_lists, lists, streaming
from benches.shared.ways import MEBIBYTES, MULTIPROCESSING_QUEUE, PENSTOCK_BATCHES, PYZMQ_LISTS
from benches.units import ITEMS


def reading(number: int) -> dict[str, Any]:
    return {"id": number, "name": "sensor", "value": number * 0.5, "ok": True}


READINGS = Items(reading, itemgetter("id"))

ONE_BY_ONE = (
    Way(
        "penstock.SharedQueue",
        f"`put` and `get`, max_items {BOUND}",
        partial(peers.penstock_queue, max_items=BOUND),
        peers.penstock_put,
        peers.penstock_get,
        "penstock",
    ),
    Way(
        "pyzmq",
        "PUSH and PULL over ipc, `send(pickle.dumps(...))` and `loads(recv())`, protocol 5; "
        "high-water marks of 1000, its default",
        peers.ipc_address,
        peers.zmq_put,
        peers.zmq_get,
        "pyzmq",
    ),
    MULTIPROCESSING_QUEUE,
    Way(
        "multiprocessing.SimpleQueue",
        "`put` and `get`, bounded by its pipe of 64 KiB",
        peers.simple_queue,
        peers.queue_put,
        peers.queue_get,
    ),
    Way(
        "faster-fifo",
        f"`put` and `get`, {MEBIBYTES}",
        peers.faster_fifo_queue,
        peers.queue_put,
        peers.queue_get,
        "faster-fifo",
    ),
)

BATCHES = (
    PENSTOCK_BATCHES,
    Way(
        "faster-fifo",
        f"`put_many` of {BATCH} and `get_many` of up to {BATCH}, {MEBIBYTES}",
        peers.faster_fifo_queue,
        peers.faster_fifo_put_many,
        peers.faster_fifo_get_many,
        "faster-fifo",
    ),
    PYZMQ_LISTS,
    Way(
        "multiprocessing.SimpleQueue",
        f"`put` and `get` of lists of {BATCH} by hand",
        peers.simple_queue,
        peers.queue_put,
        peers.queue_get,
    ),
)

QUICK = Way(
    "quick-queue",
    f"`put_iterable` and `get`, lists of {peers.BUCKET}: the best of that, 256, 4000, its choice",
    peers.quick_queue,
    peers.quick_put_many,
    peers.queue_get,
    "quick-queue",
)

CASES = (
    Case(
        room="shared",
        name="dict",
        question="How many small dicts a second pass from one process to another, one by one?",
        contenders=[streaming(way, READINGS) for way in ONE_BY_ONE],
        is_right=READINGS.all_came,
        figures=[rate(ITEMS)],
        targets=[Target(3, "pyzmq"), Target(8, "multiprocessing.Queue")],
    ),
    Case(
        room="shared",
        name="dict-batches",
        question=f"How many small dicts a second pass between two processes in batches of {BATCH}?",
        contenders=[
            streaming(BATCHES[0], READINGS, giving_lists, lists),
            streaming(QUICK, READINGS, giving_iterable),
            *(streaming(way, READINGS, giving_lists, lists) for way in BATCHES[1:]),
        ],
        is_right=READINGS.all_came,
        figures=[rate(ITEMS)],
        targets=[Target(1.5, "quick-queue")],
    ),
)
