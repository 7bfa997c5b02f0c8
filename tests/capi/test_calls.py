"""The C interface beside SharedQueue in one process, through cffi."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from penstock import SharedQueue
from penstock.errors import Misuse
from penstock.queues import QueueShutDown
from tests.capi.interface import AT_ONCE, PATIENCE, Failed, Handle, code, ffi, lib, told
from tests.workers.traces import nothing_left

SECONDS = PATIENCE / 1000


@pytest.mark.parametrize("size", [0, 1, 64, 16 << 10, (16 << 10) + 1, 700_000])
def test_bytes_go_through_as_they_are(queue: SharedQueue[Any], handle: Handle, size: int):
    record = os.urandom(size)
    handle.send(record)
    assert queue.get_bytes() == record
    handle.send(record)
    item = queue.get()
    assert type(item) is bytes
    assert item == record
    handle.commit(handle.claim(record))
    assert queue.get() == record
    queue.put_bytes(record)
    assert handle.receive(size) == (lib.PENSTOCK_RAW, record)


def test_batches_keep_their_order(queue: SharedQueue[Any], handle: Handle):
    records = [b"%d" % number * (number % 30) for number in range(1000)]
    assert handle.send_many(records) == 1000
    assert queue.get_many(1000) == records
    claims = ffi.new("penstock_claimed[]", 300)
    for number, claim in enumerate(records[:300]):
        lib.penstock_claim(handle.queue, len(claim), claims + number)
        ffi.memmove(claims[number].bytes, claim, len(claim))
    committed = ffi.new("size_t *")
    assert lib.penstock_commit_many(handle.queue, claims, 300, AT_ONCE, committed) == 0
    assert committed[0] == 300
    assert queue.get_many(1000) == records[:300]
    queue.put_many(records)
    got: list[bytes] = []
    while len(got) < 1000:
        got += handle.receive_many(5000, 400)
    assert got == records


async def test_tasks_await_what_c_sends(anyio_backend, queue: SharedQueue[Any], handle: Handle):
    got: list[bytes] = []

    async def take() -> None:
        while len(got) < 3000:
            got.extend(await queue.aget_many(256))

    def send() -> None:
        for first in range(0, 3000, 100):
            records = [b"%04d" % number for number in range(first, first + 100)]
            handle.send_many(records, PATIENCE)

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await anyio.to_thread.run_sync(send)
    assert got == [b"%04d" % number for number in range(3000)]


def test_objects_come_with_their_kind(queue: SharedQueue[Any], handle: Handle):
    queue.put(b"plain")
    assert handle.receive() == (lib.PENSTOCK_RAW, b"plain")
    queue.put(memoryview(b"seen"))
    assert handle.receive() == (lib.PENSTOCK_VIEW, b"seen")
    queue.put("text")
    assert handle.receive() == (lib.PENSTOCK_TEXT_LATIN1, b"text")
    queue.put("\N{EURO SIGN}")
    assert handle.receive() == (lib.PENSTOCK_TEXT_UCS2, b"\xac\x20")
    queue.put({"id": 7})
    assert handle.receive()[0] == lib.PENSTOCK_SHORT
    queue.put(frozenset({1, 2}))
    kind, stream = handle.receive()
    assert kind == lib.PENSTOCK_PICKLE
    assert pickle.loads(stream) == {1, 2}


def test_large_buffers_stand_behind_their_pickle(queue: SharedQueue[Any], handle: Handle):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10_000)
    queue.put([[array]])
    kind, record = handle.receive(200_000)
    assert (kind, handle.record.buffers) == (lib.PENSTOCK_PICKLE, 1)
    assert record.endswith(array.tobytes())
    stream, buffer = record[: -array.nbytes], record[-array.nbytes :]
    [[loaded]] = pickle.loads(stream, buffers=[buffer])
    assert (loaded == array).all()


def test_the_content_of_a_containers_arrays_stands_behind_it(
    queue: SharedQueue[Any], handle: Handle
):
    numpy = pytest.importorskip("numpy")
    array, other = numpy.arange(10_000), numpy.ones(5_000)
    queue.put({"number": 1, "array": array, "other": other})
    kind, record = handle.receive(200_000)
    assert (kind, handle.record.buffers) == (lib.PENSTOCK_MIXED, 2)
    assert record.endswith(array.tobytes() + other.tobytes())


def test_an_arrays_content_stands_behind_its_head(queue: SharedQueue[Any], handle: Handle):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(10_000)
    queue.put(array)
    kind, record = handle.receive(200_000)
    assert (kind, handle.record.buffers) == (lib.PENSTOCK_ARRAY, 1)
    assert record.endswith(array.tobytes())


def test_a_record_that_is_too_large_for_its_buffer_waits(queue: SharedQueue[Any], handle: Handle):
    queue.put_many([b"x" * 100, b"y"])
    with pytest.raises(Failed, match="a record of 100 bytes is larger than the buffer of 10"):
        handle.receive(10)
    assert handle.receive(100)[1] == b"x" * 100
    assert handle.receive(10)[1] == b"y"


def test_what_is_wrong_is_said(queue: SharedQueue[Any], handle: Handle):
    with pytest.raises(Failed, match=f"the queue of descriptor {queue.fileno()}: .*1048577 bytes"):
        handle.send(bytes((1 << 20) + 1))
    with pytest.raises(Failed, match="EMPTY: nothing came"):
        handle.receive(timeout=1)
    with pytest.raises(Failed, match=r"BAD_CLAIM: no claim of this thread"):
        handle.commit(ffi.new("penstock_claimed *"))
    for wild in (0, 8, 12345, 2**64 - 1):
        number = lib.penstock_send(ffi.cast("penstock_queue *", wild), b"", 0, AT_ONCE)
        assert code(number) == "BAD_HANDLE"
    reading, writing = os.pipe()
    try:
        with pytest.raises(Failed, match="NOT_A_QUEUE: the queue of descriptor"):
            Handle.attach(reading)
    finally:
        os.close(reading)
        os.close(writing)
    with pytest.raises(Failed, match=r"SYSTEM: the queue of descriptor -1: .*os error 9"):
        Handle.attach(-1)
    assert ffi.string(lib.penstock_error_message(999)) == b"not a code of this version of penstock"
    handle.send(b"still there")
    assert queue.get() == b"still there"


def test_every_code_has_words(handle: Handle):
    numbers = ffi.typeof("penstock_code").elements
    words = {ffi.string(lib.penstock_error_message(number)) for number in numbers}
    assert len(words) == len(numbers) == 21


def test_a_full_queue_refuses_and_says_how_many_are_in(attach: Callable[..., Handle]):
    queue: SharedQueue[bytes] = SharedQueue(max_items=3)
    handle = attach(queue)
    records = [b"%d" % number for number in range(5)]
    with pytest.raises(Failed, match="FULL: there was no room"):
        handle.send_many(records)
    assert handle.sent == 3
    with pytest.raises(Failed, match="FULL"):
        handle.wait(lib.PENSTOCK_ROOM, 1)
    claim = handle.claim(b"later")
    with pytest.raises(Failed, match="FULL"):
        handle.commit(claim, 1)
    assert queue.get_many() == records[:3]
    handle.commit(claim)
    assert queue.get() == b"later"
    assert (claim.token, claim.bytes) == (0, ffi.NULL)
    handle.abandon(other := handle.claim(b"never"))
    with pytest.raises(Failed, match="BAD_CLAIM"):
        handle.commit(other)
    assert queue.empty()
    queue.close()


def test_a_shutdown_reaches_both_sides(attach: Callable[..., Handle]):
    queue: SharedQueue[bytes] = SharedQueue()
    handle = attach(queue)
    handle.send(b"last")
    queue.shutdown()
    with pytest.raises(Failed, match="SHUT_DOWN"):
        handle.send(b"more", PATIENCE)
    assert handle.receive()[1] == b"last"
    with pytest.raises(Failed, match=r"SHUT_DOWN: .*close the handle"):
        handle.receive(timeout=PATIENCE)
    queue.close()
    other: SharedQueue[bytes] = SharedQueue()
    handle = attach(other)
    handle.send(b"dropped")
    handle.shutdown(immediate=True)
    with pytest.raises(QueueShutDown):
        other.get(timeout=SECONDS)
    other.close()


def test_a_closed_handle_is_closed_and_the_queue_goes_on(
    queue: SharedQueue[Any], handle: Handle, attach: Callable[..., Handle]
):
    handle.send(b"before")
    handle.close()
    for call in (
        lambda: handle.send(b"x"),
        handle.receive,
        lambda: handle.claim(b"x"),
        handle.figures,
        handle.close,
    ):
        with pytest.raises(Failed, match="CLOSED: this handle was closed; attach again"):
            call()
    assert queue.get() == b"before"
    again = attach(queue)
    again.send(b"after")
    assert queue.get() == b"after"
    assert again.queue != handle.queue


def test_the_descriptor_may_be_closed_once_attached(queue: SharedQueue[Any]):
    fd = os.dup(queue.fileno())
    handle = Handle.attach(fd)
    os.close(fd)
    handle.send(b"x")
    assert queue.get() == b"x"
    handle.close()


def test_a_queue_is_joined_by_its_name():
    name = f"capi-{os.getpid()}"
    with SharedQueue[bytes](name=name) as queue:
        handle = Handle.attach_name(name)
        handle.commit(handle.claim(b"from C"))
        assert queue.get_many() == [b"from C"]
        queue.put(b"to C")
        assert handle.receive()[1] == b"to C"
        handle.close()
        with pytest.raises(Failed, match='BAD_ARGUMENT: "two words" is no name'):
            Handle.attach_name("two words", AT_ONCE)
        with pytest.raises(Failed, match=f'NOT_FOUND: no living process .* has "{name}-2"'):
            Handle.attach_name(f"{name}-2", AT_ONCE)
        assert queue.empty()


def test_a_handle_outlives_the_object_that_made_the_queue():
    queue: SharedQueue[bytes] = SharedQueue()
    handle = Handle.attach(queue.fileno())
    queue.put(b"x")
    queue.close()
    del queue
    assert handle.receive()[1] == b"x"
    handle.close()


def test_threads_wait_without_the_interpreter(queue: SharedQueue[Any], handle: Handle):
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(handle.receive(timeout=PATIENCE)[1]))
    thread.start()
    end = time.monotonic() + SECONDS
    while handle.figures().waiting_getters == 0:
        assert time.monotonic() < end
    queue.put(b"woken")
    thread.join(SECONDS)
    assert got == [b"woken"]


def test_errors_are_told_to_the_thread_that_made_them(handle: Handle):
    with pytest.raises(Failed):
        handle.receive()
    mine = told()
    others: list[str] = []

    def fail() -> None:
        others.append(told())
        with pytest.raises(Failed):
            handle.abandon(ffi.new("penstock_claimed *"))
        others.append(told())

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join(SECONDS)
    assert others[0] == ""
    assert others[1].startswith("no claim of this thread")
    assert told() == mine


def test_a_claim_belongs_to_its_thread(queue: SharedQueue[Any], handle: Handle):
    claim = handle.claim(b"mine")
    codes: list[str] = []

    def commit() -> None:
        with pytest.raises(Failed) as failed:
            handle.commit(claim)
        codes.append(failed.value.code)

    thread = threading.Thread(target=commit)
    thread.start()
    thread.join(SECONDS)
    assert codes == ["BAD_CLAIM"]
    handle.commit(claim)
    assert queue.get() == b"mine"


def test_leases_are_settled_from_c(attach: Callable[..., Handle]):
    queue: SharedQueue[bytes] = SharedQueue(ack=True, lease=600.0)
    handle = attach(queue)
    queue.put(b"job")
    assert handle.receive()[1] == b"job"
    lease = handle.record.lease
    assert lease.entry > 0
    assert lib.penstock_give_back(handle.queue, lease) == lib.PENSTOCK_OK
    assert code(lib.penstock_acknowledge(handle.queue, lease)) == "LEASE_LOST"
    with queue.lease(timeout=SECONDS) as item:
        assert item == b"job"
    with pytest.raises(Failed, match="EMPTY"):
        handle.receive()
    with pytest.raises(Misuse):
        queue.get_nowait()
    queue.close()


def test_figures(queue: SharedQueue[Any], handle: Handle):
    handle.send_many([b"x" * 50] * 3)
    queue.get()
    now = handle.figures()
    assert (now.items, now.sent, now.taken, now.dead) == (2, 3, 0, 0)
    assert (now.max_bytes, now.max_items) == (1 << 20, 0)
    assert now.participants == 2
    assert now.bytes > 0
    assert queue.statistics().items == 2


def test_nothing_is_left_of_a_handle():
    def work() -> None:
        queue: SharedQueue[bytes] = SharedQueue(max_bytes=1 << 20)
        handle = Handle.attach(queue.fileno())
        with pytest.raises(Failed, match="EMPTY"):
            handle.receive(timeout=1)
        handle.send(bytes(100_000))
        with pytest.raises(Failed, match="TOO_SMALL"):
            handle.receive(10)
        handle.abandon(handle.claim(bytes(100_000)))
        thread = threading.Thread(target=handle.claim, args=(bytes(100_000),))
        thread.start()
        thread.join(SECONDS)
        handle.close()
        queue.close()

    work()  # what is made once for the process is there now
    with nothing_left():
        work()


def test_two_libraries_in_one_process_meet_in_the_queue(queue: SharedQueue[Any], handle: Handle):
    import penstock
    from tests.capi.interface import open_library

    other = open_library(penstock.library_path())
    place = ffi.new("penstock_queue **")
    assert other.penstock_attach(queue.fileno(), place) == 0
    assert other.penstock_send(place[0], b"hello", 5, AT_ONCE) == 0
    assert handle.receive()[1] == b"hello"
    assert other.penstock_close(place[0]) == 0
