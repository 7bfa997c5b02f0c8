"""Arena and port with both ends in this process: what the pool and a worker build on."""

from __future__ import annotations

import os

import pytest

from penstock._native import Arena, Port
from penstock.errors import Full, Lost, Misuse

KIB = 1 << 10
UNIT = 16 * KIB


class Link:
    """Both ends of one link."""

    def __init__(self, arena: Arena) -> None:
        self.pool, fds = Port.create(arena, 1 << 20)
        self.worker, self.results = Port.attach(fds, 7)

    def task(self, slot: int, number: int, arena: Arena, stream: bytes, *buffers: bytes) -> bool:
        self.pool.offer(slot, number)
        parcel = arena.pack(stream, buffers)
        return self.pool.send(Port.TASK, slot, number, parcel)


@pytest.fixture
def arena() -> Arena:
    return Arena(1 << 20)


@pytest.fixture
def link(arena: Arena) -> Link:
    return Link(arena)


def test_a_task_goes_down_and_its_result_comes_up(arena: Arena, link: Link):
    assert link.task(3, 99, arena, b"stream", b"x" * UNIT)
    (message,) = link.worker.receive(64)
    kind, slot, number, started, elapsed, stream, buffers = message
    assert (kind, slot, number, started, elapsed) == (Port.TASK, 3, 99, 0, 0)
    assert bytes(stream) == b"stream"
    assert bytes(memoryview(buffers[0])) == b"x" * UNIT
    assert memoryview(buffers[0]).readonly
    assert link.worker.start(3, 99)
    answer = link.results.pack(b"answer", [b"y" * UNIT])
    assert link.worker.finish(3, 99)
    assert link.worker.send(Port.VALUE, 3, 99, answer, (5, 6))
    (message,) = link.pool.receive(64)
    assert message[:5] == (Port.VALUE, 3, 99, 5, 6)
    assert not memoryview(message[6][0]).readonly


def test_streams_that_are_long_get_a_slab(arena: Arena, link: Link):
    assert link.task(0, 1, arena, b"s" * UNIT)
    assert arena.usage()["slabs"] == 0, "this long they still travel in the record"
    assert link.task(1, 2, arena, b"s" * (UNIT + 1))
    assert arena.usage()["slabs"] == 1
    streams = [bytes(memoryview(message[5])) for message in link.worker.receive(64)]
    assert streams == [b"s" * UNIT, b"s" * (UNIT + 1)]


def test_a_slab_is_held_by_parcel_record_and_reader(arena: Arena, link: Link):
    parcel = arena.pack(b"", [b"x" * UNIT])
    assert arena.usage()["held"] == UNIT
    link.pool.offer(0, 1)
    assert link.pool.send(Port.TASK, 0, 1, parcel)
    del parcel
    assert arena.usage()["held"] == UNIT, "the record holds it"
    (message,) = link.worker.receive(1)
    link.pool.settle()
    assert arena.usage()["held"] == UNIT, "the reader holds it"
    view = memoryview(message[6][0])[10:20]
    del message
    assert bytes(view) == b"x" * 10
    assert arena.usage()["held"] == UNIT, "a part of it is enough"
    del view
    assert arena.usage()["held"] == 0


def test_a_dead_readers_hold_is_ended(arena: Arena, link: Link):
    assert link.task(0, 1, arena, b"", b"x" * UNIT)
    kept = link.worker.receive(1)
    link.pool.settle()
    assert arena.usage()["slabs"] == 1
    arena.bury(7)
    assert arena.usage()["slabs"] == 0
    assert len(kept) == 1


def test_the_states_of_a_task(link: Link):
    link.pool.offer(5, 10)
    assert link.pool.state(5, 10) == "queued"
    assert link.pool.state(5, 11) is None
    assert link.worker.start(5, 10)
    assert link.pool.state(5, 10) == "running"
    assert not link.pool.recall(5, 10)
    assert link.worker.finish(5, 10)
    assert link.pool.state(5, 10) == "done"
    assert not link.pool.condemn(5, 10)
    link.pool.offer(5, 11)
    assert not link.worker.start(5, 10), "a late worker cannot begin the slot's next task"
    assert link.pool.recall(5, 11)
    assert link.pool.state(5, 11) == "recalled"
    assert not link.worker.start(5, 11)
    link.pool.offer(5, 12)
    assert link.worker.start(5, 12)
    assert link.pool.condemn(5, 12)
    assert link.pool.state(5, 12) == "killed"
    assert not link.worker.finish(5, 12)


def test_a_full_lane_says_so_and_rings_when_it_is_read(arena: Arena, link: Link):
    sent = 0
    while link.task(0, sent, arena, b"s" * 15_000):
        sent += 1
    assert sent == 8
    assert link.pool.want_room()
    assert link.pool.doze()
    assert not link.pool.wait(0.0)
    assert link.pool.want_room()
    assert len(link.worker.receive(1)) == 1
    assert os.read(link.pool.fileno(), 1) == b"\x01"
    assert link.task(0, sent, arena, b"s" * 15_000)


def test_want_room_is_false_when_there_was_progress(arena: Arena, link: Link):
    while link.task(0, 1, arena, b"s" * 15_000):
        pass
    assert len(link.worker.receive(2)) == 2
    assert not link.pool.want_room()


def test_whether_the_other_side_ever_looked(arena: Arena, link: Link):
    assert link.task(0, 1, arena, b"")
    assert not link.pool.met()
    link.worker.receive(1)
    assert link.pool.met()
    other = Link(arena)
    assert not other.pool.met()
    assert other.worker.doze()
    assert other.pool.met()
    assert other.task(0, 1, arena, b""), "the ring takes the flag away"
    assert other.pool.met()


def test_an_end_that_is_closed_is_noticed(arena: Arena):
    link = Link(arena)
    assert link.pool.awake()
    del link.worker
    assert not link.pool.awake()
    other = Link(arena)
    del other.pool
    with pytest.raises(EOFError):
        other.worker.wait()


def test_sound_messages_before_a_foul_one_are_delivered(arena: Arena, link: Link):
    assert link.task(0, 1, arena, b"first")
    assert link.task(1, 2, arena, b"second", b"x" * UNIT)
    arena.bury(0)  # the owner's own bit: the slab is free, and the second record a stale reference
    (message,) = link.worker.receive(64)
    assert bytes(message[5]) == b"first"
    for _ in range(2):
        with pytest.raises(Lost, match="no version of penstock writes"):
            link.worker.receive(64)


@pytest.mark.parametrize("slot", [Port.SLOTS, 1 << 40])
def test_slots_beyond_the_table_are_refused(link: Link, slot: int):
    with pytest.raises(Misuse, match=f"slot {slot} is not below {Port.SLOTS}"):
        link.pool.offer(slot, 1)


def test_a_kind_that_does_not_exist_is_refused(arena: Arena, link: Link):
    with pytest.raises(Misuse, match="no message of kind 77"):
        link.pool.send(77, 0, 1, None)


def test_limits_of_an_arena(arena: Arena):
    with pytest.raises(Misuse, match="do not fit"):
        arena.pack(b"", [bytes((1 << 20) + 1)])
    half = arena.pack(b"", [bytes(1 << 19)])
    with pytest.raises(Full, match=r"no room for 524289 bytes in the arena: 524288 of 1048576"):
        arena.pack(b"", [bytes((1 << 19) + 1)])
    assert arena.usage() == {
        "slabs": 1,
        "held": 1 << 19,
        "resident": 1 << 19,
        "capacity": 1 << 20,
    }
    assert half.nbytes == 1 << 19
    del half
    whole = arena.pack(b"", [bytes(1 << 20)])
    assert whole.nbytes == 1 << 20


def test_a_parcel_that_does_not_fit_leaves_nothing_behind(arena: Arena):
    with pytest.raises(Full):
        arena.pack(b"", [bytes(1 << 19), bytes(1 << 19), bytes(1 << 19)])
    assert arena.usage()["held"] == 0


def test_descriptors_that_are_no_link_are_refused():
    fds = [os.memfd_create(name) for name in ("a", "b", "c", "d")]
    for fd in fds:
        os.ftruncate(fd, 1 << 16)
    with pytest.raises(Misuse, match="not sealed"):
        Port.attach(fds, 1)
