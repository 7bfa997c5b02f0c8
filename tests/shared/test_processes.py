"""A queue between processes: handed over in every way, and unharmed by whoever dies or stops."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
from typing import Any

import pytest

from penstock import SharedQueue
from penstock.errors import Closed, Misuse, Rejected
from penstock.queues import QueueEmpty, QueueShutDown

from . import children
from .conftest import PATIENCE, Start, ended, named, stop, until

pytestmark = pytest.mark.usefixtures("clean")


def test_there_and_back(start: Start):
    questions: SharedQueue[int] = SharedQueue(name=named("questions"))
    answers: SharedQueue[int] = SharedQueue(name=named("answers"))
    child = start(children.answer, questions, answers)
    questions.put_many(range(500))
    assert answers.get_many(500, min=500, timeout=PATIENCE) == list(range(0, 1000, 2))
    questions.put("ab")  # type: ignore[arg-type]
    assert answers.get(timeout=PATIENCE) == "abab"  # type: ignore[comparison-overlap]
    questions.shutdown()
    assert ended(child) == 0


def test_what_a_child_is_handed_is_the_same_queue(start: Start):
    queue: SharedQueue[Any] = SharedQueue(1 << 16, 7, name=named("orders"), spin=0.25)
    assert ended(start(children.describe, queue)) == 0
    assert queue.get() == (named("orders"), 1 << 16, 7, 0.25, False)


def test_all_come_once_and_each_senders_in_order(start: Start):
    queue: SharedQueue[Any] = SharedQueue(max_items=64)
    taken: SharedQueue[Any] = SharedQueue()
    senders = [start(children.put_numbered, queue, sender, 400) for sender in range(3)]
    takers = [start(children.forward, queue, taken) for _ in range(2)]
    for sender in senders:
        assert ended(sender) == 0
    queue.shutdown()
    got: list[tuple[int, tuple[int, int]]] = []
    while len(got) < 1200:
        got += taken.get_many(timeout=PATIENCE)
    for taker in takers:
        assert ended(taker) == 0
    assert sorted(item for _, item in got) == [(s, n) for s in range(3) for n in range(400)]
    for taker, sender in itertools.product({taker for taker, _ in got}, range(3)):
        numbers = [number for who, (s, number) in got if (who, s) == (taker, sender)]
        assert numbers == sorted(numbers)


def test_threads_of_a_child(start: Start):
    queue: SharedQueue[tuple[int, int]] = SharedQueue(max_items=16)
    child = start(children.put_in_threads, queue, 100)
    got = [queue.get(timeout=PATIENCE) for _ in range(300)]
    assert ended(child) == 0
    for sender in range(3):
        assert [number for s, number in got if s == sender] == list(range(100))


@pytest.mark.parametrize("below", ["fork", "spawn"])
def test_a_child_of_a_child(start: Start, below: str):
    queue: SharedQueue[Any] = SharedQueue()
    child = start(children.put_by_grandchild, queue, below)
    assert queue.get_many(2, min=2, timeout=PATIENCE) == [("child", child.pid), "grandchild"]
    assert ended(child) == 0


def test_a_child_forked_beside_a_thread_that_waits(fork: Start, thread, blocked):
    queue: SharedQueue[str] = SharedQueue()
    getter = thread(queue.get)
    blocked(queue, getters=1)
    assert ended(fork(children.put, queue, "from the child")) == 0
    assert getter.outcome() == "from the child"


def test_a_hundred_children_one_after_the_other(fork: Start):
    queue: SharedQueue[int] = SharedQueue()
    for number in range(100):
        assert ended(fork(children.put, queue, number)) == 0
        assert queue.get() == number


def test_more_processes_than_seats():
    first: SharedQueue[int] = SharedQueue(1 << 16, name=named("orders"))
    first.put(0)
    others = []
    with pytest.raises(
        Rejected, match=r"shared queue 'orders-[0-9]+': all seats of the queue are taken"
    ):
        for _ in range(100):
            # Each handle is a participant of its own.
            other = SharedQueue._attach(os.dup(first.fileno()), 0.0)
            others.append(other)
            other.put(len(others))
    assert sorted(first.get_many()) == list(range(len(others)))
    assert len(others) >= 50
    others[0].close()
    others[-1].put(-1)
    assert first.get() == -1


def test_a_child_shuts_down(start: Start, thread, blocked):
    queue: SharedQueue[int] = SharedQueue()
    getter = thread(list, queue)
    blocked(queue, getters=1)
    assert ended(start(children.shut, queue)) == 0
    assert getter.outcome() == []
    with pytest.raises(QueueShutDown):
        queue.put(1)


def test_who_closes_leaves_and_no_more(start: Start):
    queue: SharedQueue[str] = SharedQueue(name=named("orders"))
    assert ended(start(children.close, queue)) == 0
    queue.put("after")
    assert queue.get_many(2, min=2, timeout=PATIENCE) in (["before", "after"], ["after", "before"])
    queue.close()
    queue.close()
    with pytest.raises(Closed, match=r"shared queue 'orders-[0-9]+' was closed in this process"):
        queue.get()
    with pytest.raises(Closed):
        queue.put_many(["x"])


# A death.


def test_what_a_killed_putter_had_put_comes_out(start: Start):
    queue: SharedQueue[tuple[int, int]] = SharedQueue(max_items=50)
    child = start(children.put_for_ever, queue)
    until(queue.full)
    child.kill()
    assert ended(child) == -signal.SIGKILL
    numbers = [number for _, number in queue.get_many(256)]
    # The one it was at may have been in or not.
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 50
    queue.put((0, 0))
    assert queue.get() == (0, 0)


def test_a_stopped_getter_holds_nobody_up(start: Start, blocked):
    queue: SharedQueue[int] = SharedQueue()
    got: SharedQueue[Any] = SharedQueue()
    stopped = start(children.get, queue)
    blocked(queue, getters=1)
    other = start(children.forward, queue, got)
    blocked(queue, getters=2)
    stop(stopped)
    for number in range(20):
        queue.put(number)
    # It may hold a wake, which the others make up for within a second.
    taken = [got.get(timeout=PATIENCE) for _ in range(20)]
    assert taken == [(other.pid, number) for number in range(20)]


def test_a_stopped_putter_holds_nobody_up(start: Start):
    queue: SharedQueue[Any] = SharedQueue(max_items=20)
    stopped = start(children.put_for_ever, queue)
    until(queue.full)
    stop(stopped)
    assert len(queue.get_many(256)) >= 20
    for number in range(20):
        queue.put(number, timeout=PATIENCE)
        assert queue.get(timeout=PATIENCE) == number


def test_a_death_makes_room_for_nobody_and_harms_nobody_who_waits_for_it(
    start: Start, thread, blocked
):
    queue: SharedQueue[Any] = SharedQueue(max_items=4)
    doomed = start(children.put_for_ever, queue)
    until(queue.full)
    putter = thread(queue.put, "mine")
    blocked(queue, putters=2)
    doomed.kill()
    doomed.join()
    assert queue.full()
    got = [queue.get(timeout=PATIENCE) for _ in range(4)]
    putter.outcome()
    assert "mine" in [*got, *queue.get_many(timeout=PATIENCE)]


# Bad input.


def header(queue: SharedQueue[Any]) -> bytearray:
    return bytearray(os.pread(queue.fileno(), 4096, 0))


def segment(page: bytes, length: int) -> int:
    fd = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, length)
    os.pwrite(fd, page, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def test_a_segment_of_another_version():
    queue: SharedQueue[int] = SharedQueue(1 << 16)
    page = header(queue)
    page[8] += 1
    with pytest.raises(Misuse, match=r"shared queue: the segment has layout \d+") as refused:
        SharedQueue._attach(segment(page, os.fstat(queue.fileno()).st_size), 0.0)
    assert "same version of penstock" in (refused.value.hint or "")


def test_memory_that_is_no_queue():
    queue: SharedQueue[int] = SharedQueue(1 << 16)
    length = os.fstat(queue.fileno()).st_size
    for page in (b"", b"x" * 4096, os.urandom(4096)):
        with pytest.raises(Misuse, match="is no segment of penstock"):
            SharedQueue._attach(segment(page, length), 0.0)
    with pytest.raises(Misuse):
        SharedQueue._attach(segment(header(queue), length // 2 // 4096 * 4096), 0.0)
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises((Misuse, OSError)):
        SharedQueue._attach(reader, 0.0)
    with pytest.raises(Misuse):
        SharedQueue._attach(os.open("/dev/null", os.O_RDWR), 0.0)


def test_a_damaged_header_is_refused_or_harmless():
    queue: SharedQueue[int] = SharedQueue(1 << 16)
    sound, length = header(queue), os.fstat(queue.fileno()).st_size
    refused = 0
    for field in range(256):
        page = bytearray(sound)
        page[field] ^= 0x41
        try:
            other: SharedQueue[int] = SharedQueue._attach(segment(page, length), 0.0)
            other.put_nowait(1)
            other.get_nowait()
        except (Misuse, QueueEmpty, OSError):
            refused += 1
    assert refused >= 40
