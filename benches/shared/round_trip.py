"""To another process and back: two wakeups, or none where both sides keep looking."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import DupFd
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.shared import peers
from benches.shared.beside import SPAWN, beside
from benches.shared.compiled import compiled

Call = Callable[[int], int]
"""Send the number, wait until it is back."""

Echo = Callable[[int], Any]
"""Send back as many numbers."""


@dataclass(frozen=True, slots=True)
class Line:
    """Both ways between two processes; what is made goes to the other one."""

    name: str
    settings: str
    make: Callable[[], AbstractContextManager[Any]]
    call: Callable[[Any], AbstractContextManager[Call]]
    echo: Callable[[Any], AbstractContextManager[Echo]]
    package: str | None = None


@contextmanager
def called(line: Line) -> Iterator[Work]:
    """Each trip is a sample."""
    with line.make() as made, line.call(made) as call, beside(line.echo, made) as other:

        def work(n: int) -> Lap:
            answer: list[int] = []
            samples: list[int] = []
            other.begin(n)
            started = perf_counter_ns()
            for number in range(n):
                sent = perf_counter_ns()
                answer.append(call(number))
                samples.append(perf_counter_ns() - sent)
            lap = Lap.since(started, answer, samples)
            other.end()
            return lap

        yield work


def echoing(get: Callable[[], Any], put: Callable[[Any], Any]) -> Echo:
    def lap(n: int) -> None:
        for _ in range(n):
            put(get())

    return lap


def calling(put: Callable[[Any], Any], get: Callable[[], Any]) -> Call:
    def call(number: int) -> int:
        put(number)
        answer: int = get()
        return answer

    return call


# --- queues, one each way -------------------------------------------------------------------


@contextmanager
def two(make: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    with make() as there, make() as back:
        yield there, back


@contextmanager
def queues_call(made: Any) -> Iterator[Call]:
    there, back = made
    yield calling(there.put, back.get)


@contextmanager
def queues_echo(made: Any) -> Iterator[Echo]:
    there, back = made
    yield echoing(there.get, back.put)


# --- pipe -----------------------------------------------------------------------------------


@contextmanager
def pipe() -> Iterator[Any]:
    ours, theirs = SPAWN.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


@contextmanager
def pipe_call(ends: Any) -> Iterator[Call]:
    yield calling(ends[0].send, ends[0].recv)


@contextmanager
def pipe_echo(ends: Any) -> Iterator[Echo]:
    yield echoing(ends[1].recv, ends[1].send)


# --- pyzmq ----------------------------------------------------------------------------------


@contextmanager
def zmq_call(address: str) -> Iterator[Call]:
    with peers.zmq_socket("PAIR", address, binds=True) as socket:
        yield calling(socket.send_pyobj, socket.recv_pyobj)


@contextmanager
def zmq_echo(address: str) -> Iterator[Echo]:
    with peers.zmq_socket("PAIR", address, binds=False) as socket:
        yield echoing(socket.recv_pyobj, socket.send_pyobj)


# --- iceoryx2: eight bytes, both sides asking again until they have them --------------------

WORD = 8


def iceoryx_ends(
    stack: ExitStack, sends_to: str, gets_from: str
) -> tuple[Callable[[Any], Any], Callable[[], Any]]:
    publisher = stack.enter_context(peers.iceoryx_publisher(sends_to, WORD, 2))
    poll = stack.enter_context(peers.iceoryx_polled(gets_from, 2))
    loan, word = publisher.loan_slice_uninit, ctypes.c_int64

    def put(number: int) -> None:
        sample = loan(WORD)
        word.from_address(sample.payload_ptr).value = number
        sample.assume_init().send()

    def get() -> int:
        sample = poll()
        number = word.from_address(sample.payload_ptr).value
        sample.delete()
        return number

    return put, get


@contextmanager
def iceoryx_call(names: Any) -> Iterator[Call]:
    there, back = names
    with ExitStack() as stack:
        yield calling(*iceoryx_ends(stack, there, back))


@contextmanager
def iceoryx_echo(names: Any) -> Iterator[Echo]:
    there, back = names
    with ExitStack() as stack:
        put, get = iceoryx_ends(stack, back, there)
        yield echoing(get, put)


# --- floors ---------------------------------------------------------------------------------


@contextmanager
def words() -> Iterator[tuple[Path, Any]]:
    with compiled("floor.c", "-shared", "-fPIC") as library:
        # The C side has its two words on cache lines of their own, wherever this begins.
        yield library, SPAWN.RawArray(ctypes.c_uint32, 3 * 16)


def line_of(array: Any) -> ctypes.c_void_p:
    address = ctypes.addressof(array)
    return ctypes.c_void_p(address + -address % 64)


@contextmanager
def floor_trips(sleeps: bool) -> Iterator[Work]:
    with words() as made, beside(partial(floor_echo, sleeps), made) as other:
        library, array = made
        trips = ctypes.CDLL(str(library)).trips
        before = 0

        def work(n: int) -> Lap:
            nonlocal before
            samples = (ctypes.c_int64 * n)()
            other.begin(n)
            started = perf_counter_ns()
            trips(line_of(array), before, n, int(sleeps), samples)
            lap = Lap.since(started, list(range(n)), list(samples))
            before += n
            assert other.end() == before
            return lap

        yield work


@contextmanager
def floor_echo(sleeps: bool, made: Any) -> Iterator[Echo]:
    library, array = made
    echo = ctypes.CDLL(str(library)).echo
    before = 0

    def lap(n: int) -> int:
        nonlocal before
        echo(line_of(array), before, n, int(sleeps))
        before += n
        return before

    yield lap


@contextmanager
def eventfds() -> Iterator[tuple[Any, Any]]:
    there, back = os.eventfd(0), os.eventfd(0)
    try:
        yield Descriptor(there), Descriptor(back)
    finally:
        os.close(there)
        os.close(back)


class Descriptor:
    """A number here, the same open file by another number in the process it is sent to."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _received, (DupFd(self.number),)


def _received(sent: Any) -> Descriptor:
    return Descriptor(sent.detach())


@contextmanager
def eventfd_call(made: Any) -> Iterator[Call]:
    there, back = (end.number for end in made)
    write, read = os.eventfd_write, os.eventfd_read

    def call(number: int) -> int:
        write(there, number + 1)
        return read(back) - 1

    yield call


@contextmanager
def eventfd_echo(made: Any) -> Iterator[Echo]:
    there, back = (end.number for end in made)
    yield echoing(partial(os.eventfd_read, there), partial(os.eventfd_write, back))


def in_order(n: int, answer: list[int]) -> bool:
    return answer == list(range(n))


def contender(line: Line) -> Contender:
    return Contender(line.name, line.settings, partial(called, line), line.package)


SPIN = 100e-6  # seconds, longer than any trip of two that keep looking

SLEEPING = (
    Line(
        "penstock.SharedQueue",
        "`put` and `get` on two queues; nothing set, so both sides look for up to 20 µs, as long "
        "as that is of use, and sleep then",
        partial(two, peers.penstock_queue),
        queues_call,
        queues_echo,
        "penstock",
    ),
    Line(
        "multiprocessing.Pipe",
        "`send` and `recv` on one pipe with both directions",
        pipe,
        pipe_call,
        pipe_echo,
    ),
    Line(
        "multiprocessing.SimpleQueue",
        "`put` and `get` on two queues",
        partial(two, peers.simple_queue),
        queues_call,
        queues_echo,
    ),
    Line(
        "multiprocessing.Queue",
        f"`put` and `get` on two queues, maxsize {peers.BOUND}",
        partial(two, peers.multiprocessing_queue),
        queues_call,
        queues_echo,
    ),
    Line(
        "faster-fifo",
        "`put` and `get` on two queues",
        partial(two, peers.faster_fifo_queue),
        queues_call,
        queues_echo,
        "faster-fifo",
    ),
    Line(
        "pyzmq",
        "PAIR over ipc, `send_pyobj` and `recv_pyobj`",
        peers.ipc_address,
        zmq_call,
        zmq_echo,
        "pyzmq",
    ),
)

EVENTFD = Line(
    "eventfd",
    "floor: `os.eventfd_write` and `os.eventfd_read`",
    eventfds,
    eventfd_call,
    eventfd_echo,
)

SPINNING = (
    Line(
        "penstock.SharedQueue",
        f"`put` and `get` on two queues, both with spin={SPIN}",
        partial(two, partial(peers.penstock_queue, spin=SPIN)),
        queues_call,
        queues_echo,
        "penstock",
    ),
    Line(
        "iceoryx2, polling",
        "two services, slices of 8 bytes; `receive` asked again until it has one",
        partial(two, peers.iceoryx_name),
        iceoryx_call,
        iceoryx_echo,
        "iceoryx2",
    ),
)


def floor(name: str, settings: str, *, sleeps: bool) -> Contender:
    return Contender(name, f"floor: {settings}", partial(floor_trips, sleeps))


CASES = (
    Case(
        room="shared",
        name="round-trip",
        question="How long does a number take to another process and back, both sides sleeping?",
        contenders=[
            *(contender(line) for line in SLEEPING),
            contender(EVENTFD),
            floor("futex", "a word of shared memory and FUTEX_WAKE, in C", sleeps=True),
        ],
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        # To take 0.7 times as long is to be 1/0.7 times as fast.
        targets=[Target(1 / 0.7, "multiprocessing.Pipe", "p50")],
    ),
    Case(
        room="shared",
        name="round-trip-spinning",
        question="How long does a number take to another process and back if both keep looking?",
        contenders=[
            *(contender(line) for line in SPINNING),
            floor("word", "a word of shared memory, looked at without end, in C", sleeps=False),
        ],
        is_right=in_order,
        figures=[percentile(50), percentile(99)],
        targets=[Target(3e-6, figure="p50")],
    ),
)
