"""What children do in the tests of shared queues; by name, so that spawned ones find it."""

from __future__ import annotations

import os
import threading
from multiprocessing import get_context
from typing import Any

import numpy as np

from penstock import SharedArray, SharedQueue

Queue = SharedQueue[Any]


def put(queue: Queue, *items: object) -> None:
    queue.put_many(items)


def describe(queue: Queue) -> None:
    queue.put((queue.name, queue.max_bytes, queue.max_items, queue.spin, queue.ack))


def put_numbered(queue: Queue, sender: int, count: int) -> None:
    for number in range(count):
        queue.put((sender, number))


def put_for_ever(queue: Queue) -> None:
    number = 0
    while True:
        queue.put((os.getpid(), number))
        number += 1


def put_in_threads(queue: Queue, count: int) -> None:
    threads = [threading.Thread(target=put_numbered, args=(queue, n, count)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(questions: Queue, answers: Queue) -> None:
    """Doubles until the questions end."""
    for question in questions:
        answers.put(question * 2)


def forward(source: Queue, target: Queue) -> None:
    """Takes until the source ends, and says what."""
    for item in source:
        target.put((os.getpid(), item))


def get(queue: Queue) -> None:
    queue.get()


def take_and_stay(queue: Queue, ready: Queue) -> None:
    """Holds leases, and never lets go of them."""
    leases = queue.lease_many(2, min=2)
    ready.put([lease.item for lease in leases])
    threading.Event().wait()


def shut(queue: Queue) -> None:
    queue.shutdown()


def close(queue: Queue) -> None:
    queue.put("before")
    queue.close()


def put_by_grandchild(queue: Queue, method: str) -> None:
    queue.put(("child", os.getpid()))
    child = get_context(method).Process(target=put, args=(queue, "grandchild"))
    child.start()
    child.join()


def send_arrays(queue: Queue, count: int, size: int, born: bool) -> None:
    for number in range(count):
        if born:
            array: Any = SharedArray.empty(size, "u1", queue=queue, timeout=None)
        else:
            array = np.empty(size, "u1")
        array.fill(number % 251)
        queue.put((number, array))


def send_an_array_and_die(queue: Queue, size: int) -> None:
    array = SharedArray.empty(size, "u1", queue=queue)
    array.fill(7)
    queue.put(array)
    os._exit(0)


def fill(array: Any, value: int, answers: Queue) -> None:
    """Writes into memory that the parent sees."""
    answers.put((type(array).__name__, array.flags.writeable, int(array.reshape(-1)[0])))
    if array.flags.writeable:
        array[...] = value


def lease_and_leave(queue: Queue, got: Queue) -> None:
    got.put(queue.lease().item)
    queue.close()


class Unpicklable:
    """Pickles, and raises where it is rebuilt."""

    def __reduce__(self) -> tuple[object, ...]:
        return divmod, (1, 0)


def hold(queue: Queue, ready: Queue) -> None:
    array = queue.get()
    ready.put("held")
    threading.Event().wait()
    del array


def join_and_put(name: str, item: object) -> None:
    with SharedQueue[Any].attach(name) as queue:
        queue.put((item, queue.max_bytes, queue.max_items))


def echo(queue: Queue, back: Queue) -> None:
    back.put_many([])
    for item in queue:
        back.put(item)


def own(name: str, ready: Queue) -> None:
    """Has a queue of that name until it is shut down."""
    queue: Queue = SharedQueue(name=name)
    ready.put("mine")
    list(queue)
