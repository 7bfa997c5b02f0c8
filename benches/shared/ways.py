"""Ways that stand in more than one comparison."""

from __future__ import annotations

from benches.shared import peers
from benches.shared.peers import BATCH, BOUND, MAX_BYTES, Way

MEBIBYTES = f"{MAX_BYTES >> 20} MiB"

MULTIPROCESSING_QUEUE = Way(
    "multiprocessing.Queue",
    f"`put` and `get`, maxsize {BOUND}",
    peers.multiprocessing_queue,
    peers.queue_put,
    peers.queue_get,
)

PENSTOCK_BATCHES = Way(
    "penstock.SharedQueue",
    f"`put_many` of {BATCH} and `get_many({BATCH})`, max_bytes {MEBIBYTES}, its default",
    peers.penstock_queue,
    peers.penstock_put_many,
    peers.penstock_get_many,
    "penstock",
)

PYZMQ_LISTS = Way(
    "pyzmq",
    f"PUSH and PULL over ipc, lists of {BATCH} in one message by hand, pickle protocol 5",
    peers.ipc_address,
    peers.zmq_put,
    peers.zmq_get,
    "pyzmq",
)
