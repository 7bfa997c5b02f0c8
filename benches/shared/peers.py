"""The queues between processes, each at its best documented settings.

A `Way` is one of them with one form of item. What it makes in the parent goes to the other process,
and each of the two opens the end that it uses.
"""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

from benches.shared.beside import SPAWN

BOUND = 1024  # items
MAX_BYTES = 8 << 20
BATCH = 256

Put = Callable[[Any], Any]
Get = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Way:
    """From one process to another; `put` goes there, so it is found by import."""

    name: str
    settings: str
    make: Callable[[], AbstractContextManager[Any]]
    put: Callable[[Any], AbstractContextManager[Put]]
    get: Callable[[Any], AbstractContextManager[Get]]
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """An end that is one method of what was made; it pickles, so it can go there too."""

    name: str

    @contextmanager
    def __call__(self, queue: Any) -> Iterator[Callable[..., Any]]:
        yield getattr(queue, self.name)


# --- penstock -------------------------------------------------------------------------------


@contextmanager
def penstock_queue(**settings: Any) -> Iterator[Any]:
    from penstock import SharedQueue

    with SharedQueue(**settings) as queue:
        yield queue


penstock_put = Method("put")
penstock_get = Method("get")
penstock_put_many = Method("put_many")


@contextmanager
def penstock_get_many(queue: Any) -> Iterator[Get]:
    get_many = queue.get_many
    yield lambda: get_many(BATCH)


penstock_put_bytes = Method("put_bytes")
penstock_get_bytes = Method("get_bytes")


# --- the standard library -------------------------------------------------------------------


@contextmanager
def multiprocessing_queue() -> Iterator[Any]:
    queue = SPAWN.Queue(BOUND)
    yield queue
    queue.close()
    queue.join_thread()


@contextmanager
def simple_queue() -> Iterator[Any]:
    queue = SPAWN.SimpleQueue()
    yield queue
    queue.close()


queue_put = Method("put")
queue_get = Method("get")


@contextmanager
def one_way_pipe() -> Iterator[Any]:
    receiving, sending = SPAWN.Pipe(duplex=False)
    yield receiving, sending
    receiving.close()
    sending.close()


@contextmanager
def pipe_put_bytes(ends: Any) -> Iterator[Put]:
    yield ends[1].send_bytes


@contextmanager
def pipe_get_bytes(ends: Any) -> Iterator[Get]:
    yield ends[0].recv_bytes


# --- faster-fifo ----------------------------------------------------------------------------


def as_it_is(item: Any) -> Any:
    return item


@contextmanager
def faster_fifo_queue(max_bytes: int = MAX_BYTES, **codec: Any) -> Iterator[Any]:
    import faster_fifo

    yield faster_fifo.Queue(max_bytes, **codec)


faster_fifo_put_many = Method("put_many")


@contextmanager
def faster_fifo_get_many(queue: Any) -> Iterator[Get]:
    get_many = queue.get_many
    yield lambda: get_many(max_messages_to_get=BATCH)


# --- quick-queue ----------------------------------------------------------------------------

BUCKET = 1000  # items; its own search for a size moves 0.6 times as many a second here


@contextmanager
def quick_queue() -> Iterator[Any]:
    import quick_queue

    queue = quick_queue.QQueue(size_bucket_list=BUCKET, ctx=SPAWN)
    yield queue
    queue.close()
    queue.join_thread()


@contextmanager
def quick_put_many(queue: Any) -> Iterator[Put]:
    # What an instance knows of its buckets does not travel with it.
    queue.init(size_bucket_list=BUCKET)
    yield queue.put_iterable


# --- pyzmq ----------------------------------------------------------------------------------


@contextmanager
def ipc_address() -> Iterator[str]:
    with TemporaryDirectory(prefix="penstock-bench-") as folder:
        yield f"ipc://{folder}/socket"


@contextmanager
def zmq_socket(kind: str, address: str, *, binds: bool, bound: int = 1000) -> Iterator[Any]:
    """Each side holds as many messages as `bound`; 1000 is the default."""
    import zmq

    with zmq.Context() as context, context.socket(getattr(zmq, kind)) as socket:
        socket.linger = 0
        socket.hwm = bound
        (socket.bind if binds else socket.connect)(address)
        yield socket


@contextmanager
def zmq_put(address: str) -> Iterator[Put]:
    with zmq_socket("PUSH", address, binds=False) as socket:
        send, dumps = socket.send, pickle.dumps
        yield lambda item: send(dumps(item, pickle.HIGHEST_PROTOCOL))


@contextmanager
def zmq_get(address: str) -> Iterator[Get]:
    with zmq_socket("PULL", address, binds=True) as socket:
        receive, loads = socket.recv, pickle.loads
        yield lambda: loads(receive())


@contextmanager
def zmq_put_bytes(address: str) -> Iterator[Put]:
    with zmq_socket("PUSH", address, binds=False) as socket:
        yield socket.send


@contextmanager
def zmq_get_bytes(address: str) -> Iterator[Get]:
    with zmq_socket("PULL", address, binds=True) as socket:
        yield socket.recv


# --- iceoryx2 -------------------------------------------------------------------------------

_numbers = count()


@contextmanager
def iceoryx_name() -> Iterator[str]:
    yield f"penstock/bench/{os.getpid()}/{next(_numbers)}"


@contextmanager
def iceoryx_service(name: str, buffer: int) -> Iterator[Any]:
    """Slices of bytes, as many as `buffer` under way; none is overwritten, a publisher waits."""
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = (
        iceoryx2.NodeBuilder.new()
        .signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled)
        .create(iceoryx2.ServiceType.Ipc)
    )
    yield (
        node.service_builder(iceoryx2.ServiceName.new(name))
        .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        .enable_safe_overflow(False)
        .subscriber_max_buffer_size(buffer)
        .open_or_create()
    )


@contextmanager
def iceoryx_publisher(name: str, size: int, buffer: int) -> Iterator[Any]:
    """Publishes slices of up to `size` bytes, all laid out in advance."""
    import iceoryx2

    with iceoryx_service(name, buffer) as service:
        yield (
            service.publisher_builder()
            .initial_max_slice_len(size)
            .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )


@contextmanager
def iceoryx_polled(name: str, buffer: int) -> Iterator[Get]:
    """The next sample, asked for again and again until it is there."""
    with iceoryx_service(name, buffer) as service:
        receive = service.subscriber_builder().create().receive

        def get() -> Any:
            while (sample := receive()) is None:
                pass
            return sample

        yield get
