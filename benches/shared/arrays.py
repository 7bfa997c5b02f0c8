"""Numpy arrays of 1 MiB: from ordinary memory, and filled where they will be read.

And the hand-over of an array that lies in shared memory already, at three sizes.
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from benches.case import Case, Contender, Lap, Target, Work, byte_rate, cost
from benches.shared import peers
from benches.shared.beside import beside
from benches.shared.peers import Get, Put, Way
from benches.shared.round_trip import Descriptor
from benches.units import BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MEBIBYTE = 1 << 20
LENGTH = MEBIBYTE // 8
STEP = 8192  # values, 64 KiB: one of each is looked at
BUFFER = 16  # arrays under way, where that can be said
MAX_BYTES = BUFFER * MEBIBYTE

SPIN = 200e-6  # seconds
PLACES = 3

Seen = tuple[int, float, float]
"""Of an array that came: its length, its last value, the sum of what was looked at."""


def stamp(array: Array, number: int) -> None:
    array[::STEP] = number
    array[-1] = number


def seen(array: Array) -> Seen:
    return len(array), float(array[-1]), float(array[::STEP].sum())


def all_came(n: int, answer: list[Seen]) -> bool:
    return answer == [(LENGTH, number, number * (LENGTH // STEP)) for number in range(n)]


# --- who gives ------------------------------------------------------------------------------


@contextmanager
def giving_ordinary(put: Any, made: Any) -> Iterator[Callable[[int], None]]:
    """Four arrays take turns, so that their memory is warm, and each is another object."""
    import numpy as np

    arrays = cycle([np.zeros(LENGTH) for _ in range(4)])
    with put(made) as give:

        def lap(n: int) -> None:
            for number, array in zip(range(n), arrays, strict=False):
                stamp(array, number)
                give(array)

        yield lap


@contextmanager
def giving_born(born: Any, made: Any) -> Iterator[Callable[[int], None]]:
    """Every array is new, lies in shared memory and is filled there."""
    with born(made) as (empty, give):

        def lap(n: int) -> None:
            for number in range(n):
                array = empty()
                array.fill(number)
                give(array)

        yield lap


# --- who takes ------------------------------------------------------------------------------


@contextmanager
def taken(way: Way, role: Any) -> Iterator[Work]:
    """Each array is looked at and let go before the next is asked for."""
    with way.make() as made, way.get(made) as get, beside(role, way.put, made) as other:

        def work(n: int) -> Lap:
            started = perf_counter_ns()
            other.begin(n)
            answer = [seen(get()) for _ in range(n)]
            lap = Lap.since(started, answer)
            other.end()
            return lap

        yield work


# --- penstock -------------------------------------------------------------------------------


@contextmanager
def penstock_born(queue: Any) -> Iterator[Any]:
    from penstock import SharedArray

    yield partial(SharedArray.empty, LENGTH, queue=queue), queue.put


# --- arrayfifo ------------------------------------------------------------------------------


@contextmanager
def array_fifo() -> Iterator[Any]:
    import arrayfifo

    # It takes its locks and its manager from the default context.
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        yield arrayfifo.ArrayFIFO(MAX_BYTES)
    finally:
        multiprocessing.set_start_method(before, force=True)


@contextmanager
def array_fifo_get(queue: Any) -> Iterator[Get]:
    get = queue.get
    yield lambda: get()[0]


# --- pyzmq, as its documentation sends arrays -----------------------------------------------


@contextmanager
def zmq_put_array(address: str) -> Iterator[Put]:
    import zmq

    with peers.zmq_socket("PUSH", address, binds=False, bound=BUFFER) as socket:

        def put(array: Array) -> None:
            about = {"dtype": str(array.dtype), "shape": array.shape}
            socket.send_json(about, zmq.SNDMORE)
            # It is still being sent when it is stamped anew, so without a copy it would be torn.
            socket.send(array, copy=True)

        yield put


@contextmanager
def zmq_get_array(address: str) -> Iterator[Get]:
    import numpy as np

    with peers.zmq_socket("PULL", address, binds=True, bound=BUFFER) as socket:

        def get() -> Array:
            about = socket.recv_json()
            frame = socket.recv(copy=False)
            return np.frombuffer(frame.buffer, about["dtype"]).reshape(about["shape"])

        yield get


# --- the standard library -------------------------------------------------------------------


@contextmanager
def pipe_put_array(ends: Any) -> Iterator[Put]:
    send = ends[1].send_bytes

    def put(array: Array) -> None:
        send(pickle.dumps(array, pickle.HIGHEST_PROTOCOL))

    yield put


@contextmanager
def pipe_get_array(ends: Any) -> Iterator[Get]:
    receive = ends[0].recv_bytes
    yield lambda: pickle.loads(receive())


# --- iceoryx2 -------------------------------------------------------------------------------


def view(address: int) -> Array:
    import numpy as np

    memory = (ctypes.c_uint8 * MEBIBYTE).from_address(address)
    return np.frombuffer(memory, np.float64)


@contextmanager
def iceoryx_put_array(name: str) -> Iterator[Put]:
    with peers.iceoryx_publisher(name, MEBIBYTE, BUFFER) as publisher:
        loan = publisher.loan_slice_uninit

        def put(array: Array) -> None:
            sample = loan(MEBIBYTE)
            ctypes.memmove(sample.payload_ptr, array.ctypes.data, MEBIBYTE)
            sample.assume_init().send()

        yield put


@contextmanager
def iceoryx_born(name: str) -> Iterator[Any]:
    with peers.iceoryx_publisher(name, MEBIBYTE, BUFFER) as publisher:
        loan = publisher.loan_slice_uninit
        loaned: Any = None

        def empty() -> Array:
            nonlocal loaned
            loaned = loan(MEBIBYTE)
            return view(loaned.payload_ptr)

        def give(_array: Array) -> None:
            loaned.assume_init().send()

        yield empty, give


@contextmanager
def iceoryx_get_array(name: str) -> Iterator[Get]:
    with peers.iceoryx_polled(name, BUFFER) as poll:
        held: Any = None

        def get() -> Array:
            nonlocal held
            if held is not None:
                held.delete()
            held = poll()
            return view(held.payload_ptr)

        yield get


# --- the floors -----------------------------------------------------------------------------


@contextmanager
def places() -> Iterator[tuple[Descriptor, Descriptor, Descriptor]]:
    """Memory for a few arrays, so that it stays warm; how many of them are free, how many full."""
    memory = os.memfd_create("penstock-bench")
    free = os.eventfd(PLACES, os.EFD_SEMAPHORE)
    full = os.eventfd(0, os.EFD_SEMAPHORE)
    os.ftruncate(memory, PLACES * MEBIBYTE)
    try:
        yield Descriptor(memory), Descriptor(free), Descriptor(full)
    finally:
        for number in (memory, free, full):
            os.close(number)


def arrays_in(memory: Descriptor) -> Iterator[Array]:
    """The places in turn, for ever."""
    import numpy as np

    mapped = mmap.mmap(memory.number, PLACES * MEBIBYTE)
    return cycle(np.frombuffer(mapped, np.float64).reshape(PLACES, LENGTH))


@contextmanager
def place_born(made: Any) -> Iterator[Any]:
    memory, free, full = made
    arrays = arrays_in(memory)

    def empty() -> Array:
        os.eventfd_read(free.number)
        return next(arrays)

    def give(_array: Array) -> None:
        os.eventfd_write(full.number, 1)

    yield empty, give


@contextmanager
def place_get(made: Any) -> Iterator[Get]:
    memory, free, full = made
    arrays = arrays_in(memory)
    has_one = False

    def get() -> Array:
        nonlocal has_one
        if has_one:
            os.eventfd_write(free.number, 1)
        os.eventfd_read(full.number)
        has_one = True
        return next(arrays)

    yield get


@contextmanager
def copied(fill: bool) -> Iterator[Work]:
    """What moving that many bytes costs in one process, from warm memory to warm memory."""
    import numpy as np

    sources = [np.zeros(LENGTH) for _ in range(4)]
    targets = [np.zeros(LENGTH) for _ in range(4)]

    def work(n: int) -> Lap:
        answer: list[Seen] = []
        started = perf_counter_ns()
        for number, source, target in zip(range(n), cycle(sources), cycle(targets), strict=False):
            if fill:
                target.fill(number)
            else:
                stamp(source, number)
                np.copyto(target, source)
            answer.append(seen(target))
        return Lap.since(started, answer)

    yield work


# --- an array that lies in shared memory already --------------------------------------------

SIZES = {"16 MiB": 16 * MEBIBYTE, "1 MiB": MEBIBYTE, "64 KiB": MEBIBYTE // 16}
KEPT = 7.0  # what its values are


@contextmanager
def giving_kept(size: int, queue: Any) -> Iterator[Callable[[int], None]]:
    from penstock import SharedArray

    array = SharedArray.empty(size // 8, queue=queue)
    array.fill(KEPT)
    put = queue.put

    def lap(n: int) -> None:
        for _ in range(n):
            put(array)

    yield lap


@contextmanager
def handed_over(size: int) -> Iterator[Work]:
    with (
        peers.penstock_queue(max_bytes=BUFFER * size) as queue,
        beside(partial(giving_kept, size), queue) as other,
    ):
        get = queue.get

        def work(n: int) -> Lap:
            answer: list[tuple[int, float]] = []
            started = perf_counter_ns()
            other.begin(n)
            for _ in range(n):
                array = get()
                answer.append((array.nbytes, array[-1]))
            lap = Lap.since(started, answer)
            other.end()
            return lap

        yield work


def handed_over_right(n: int, answer: list[tuple[int, float]]) -> bool:
    sizes = {size for size, _ in answer}
    return len(answer) == n and len(sizes) == 1 and all(value == KEPT for _, value in answer)


UNDER_WAY = f"{BUFFER} MiB under way"

COPIED = (
    Way(
        "penstock.SharedQueue",
        f"`put` copies the array into memory that is used again, `get` gives a view; {UNDER_WAY}",
        partial(peers.penstock_queue, max_bytes=MAX_BYTES),
        peers.penstock_put,
        peers.penstock_get,
        "penstock",
    ),
    Way(
        "arrayfifo",
        f"`put` and `get`, which copies in and out; {UNDER_WAY}",
        array_fifo,
        peers.queue_put,
        array_fifo_get,
        "arrayfifo",
    ),
    Way(
        "iceoryx2, polling",
        "slices loaned and copied into; `receive` asked again until it has one, read in place; "
        f"{UNDER_WAY}",
        peers.iceoryx_name,
        iceoryx_put_array,
        iceoryx_get_array,
        "iceoryx2",
    ),
    Way(
        "pyzmq",
        "PUSH and PULL over ipc, dtype and shape as JSON before the array, received without a "
        f"copy; high-water marks of {BUFFER}",
        peers.ipc_address,
        zmq_put_array,
        zmq_get_array,
        "pyzmq",
    ),
    Way(
        "multiprocessing.Pipe",
        "pickle protocol 5 and `send_bytes`",
        peers.one_way_pipe,
        pipe_put_array,
        pipe_get_array,
    ),
)

BORN = (
    Way(
        "penstock.SharedQueue",
        "`SharedArray.empty(queue=)`, filled, `put`; `get` gives a view and sleeps when there is "
        f"none; {UNDER_WAY}",
        partial(peers.penstock_queue, max_bytes=MAX_BYTES),
        penstock_born,
        peers.penstock_get,
        "penstock",
    ),
    Way(
        "penstock.SharedQueue, spinning",
        f"as above, with spin={SPIN}: both look for longer than a fill takes; {UNDER_WAY}",
        partial(peers.penstock_queue, max_bytes=MAX_BYTES, spin=SPIN),
        penstock_born,
        peers.penstock_get,
        "penstock",
    ),
    Way(
        "one fill and one wake",
        "floor: filled in memory that both have mapped, and an eventfd each way, on which the "
        f"other one sleeps; {PLACES} MiB in turn",
        places,
        place_born,
        place_get,
        "numpy",
    ),
    Way(
        "iceoryx2, polling",
        f"slices loaned, filled, sent; `receive` asked again until it has one; {UNDER_WAY}",
        peers.iceoryx_name,
        iceoryx_born,
        iceoryx_get_array,
        "iceoryx2",
    ),
)


def floor(name: str, settings: str, *, fill: bool) -> Contender:
    return Contender(name, settings, partial(copied, fill), "numpy")


CASES = (
    Case(
        room="shared",
        name="array-1-mib",
        question="How fast do numpy arrays of 1 MiB go from one process to another?",
        contenders=[
            *(
                Contender(way.name, way.settings, partial(taken, way, giving_ordinary), way.package)
                for way in COPIED
            ),
            floor("one copy", "floor: `numpy.copyto` in one process, warm memory", fill=False),
        ],
        is_right=all_came,
        figures=[byte_rate(BYTES, MEBIBYTE)],
        targets=[Target(2.5, "arrayfifo")],
        least=100,
        shared=["numpy"],
    ),
    Case(
        room="shared",
        name="array-1-mib-born",
        question="How fast do numpy arrays of 1 MiB go to another process if they are filled where "
        "they will be read?",
        contenders=[
            *(
                Contender(way.name, way.settings, partial(taken, way, giving_born), way.package)
                for way in BORN
            ),
            floor("one fill", "floor: `ndarray.fill` in one process, warm memory", fill=True),
        ],
        is_right=all_came,
        figures=[byte_rate(BYTES, MEBIBYTE)],
        targets=[Target(1, "iceoryx2, polling")],
        least=100,
        shared=["numpy"],
    ),
    Case(
        room="shared",
        name="hand-over",
        question="What does it cost to hand over an array that lies in shared memory, by its size?",
        contenders=[
            Contender(
                f"penstock.SharedQueue, {name}",
                f"`put` of one `SharedArray` of the queue, `get` gives a view; {BUFFER} under way",
                partial(handed_over, size),
                "penstock",
            )
            for name, size in SIZES.items()
        ],
        is_right=handed_over_right,
        figures=[cost()],
        # Sixteen times and 256 times as large, and no dearer.
        targets=[Target(0.8, f"penstock.SharedQueue, {name}") for name in list(SIZES)[1:]],
        shared=["numpy"],
    ),
)
