"""What who only polls, asks for figures or shuts down sees of the dead; how many may take part."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import SharedQueue
from penstock.errors import Rejected
from penstock.queues import QueueEmpty, QueueFull, QueueShutDown
from penstock.shared import Lease

from . import children
from .conftest import PATIENCE, Start, ended, until

pytestmark = pytest.mark.usefixtures("clean")

SENDERS = 56
SEATS = 64


def kill(process: Any) -> None:
    process.kill()
    assert ended(process) == -signal.SIGKILL


def watchers() -> int:
    """Threads of this process that see others die."""
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return names.count("penstock-shared\n")


# Polling.


def test_a_poller_gets_a_dead_takers_items_without_a_thread_for_it(fork: Start):
    queue: SharedQueue[Any] = SharedQueue(ack=True, lease=6000.0)
    ready: SharedQueue[Any] = SharedQueue()
    before = watchers()
    queue.put_many(["a", "b"])
    doomed = fork(children.take_and_stay, queue, ready)
    until(lambda: len(ready) == 1)
    assert ready.get_nowait() == ["a", "b"]
    for _ in range(3):
        with pytest.raises(QueueEmpty):
            queue.lease(block=False)
    kill(doomed)
    taken: list[Lease[Any]] = []

    def polled() -> bool:
        taken.extend(queue.lease_many(min=0))
        return len(taken) == 2

    until(polled)
    assert sorted(lease.item for lease in taken) == ["a", "b"]
    for lease in taken:
        lease.ack()
    assert watchers() <= before


def test_a_polling_putter_gets_the_memory_that_a_dead_one_looked_at(fork: Start):
    size = 1 << 20
    queue: SharedQueue[Any] = SharedQueue(4 * size, arena_bytes=size)
    ready: SharedQueue[Any] = SharedQueue()
    queue.put(np.zeros(size, "u1"))
    doomed = fork(children.hold, queue, ready)
    until(lambda: len(ready) == 1)
    with pytest.raises(QueueFull):
        queue.put_nowait(np.zeros(size, "u1"))
    kill(doomed)

    def fits() -> bool:
        try:
            queue.put_nowait(np.ones(size, "u1"))
        except QueueFull:
            return False
        return True

    until(fits)
    assert queue.get_nowait().all()


def test_figures_are_true_as_soon_as_somebody_is_dead(start: Start):
    queue: SharedQueue[Any] = SharedQueue()
    ready: SharedQueue[Any] = SharedQueue()
    queue.put(0)
    figures = queue.statistics()
    assert (figures.participants, figures.dead) == (1, 0)
    doomed = start(children.hold, queue, ready)
    until(lambda: len(ready) == 1)
    assert queue.statistics().participants == 2
    other: SharedQueue[Any] = SharedQueue._attach(os.dup(queue.fileno()), 0.0)
    assert other.statistics().participants == 2
    kill(doomed)
    # Who takes no part can look, too.
    assert (other.statistics().participants, other.statistics().dead) == (1, 1)
    figures = queue.statistics()
    assert (figures.participants, figures.dead, figures.burials) == (1, 0, 1)
    assert (other.statistics().participants, other.statistics().dead) == (1, 0)


# The end.


@pytest.mark.parametrize("dies_before", [True, False])
def test_an_end_at_once_drops_what_a_dead_taker_had(fork: Start, dies_before: bool):
    queue: SharedQueue[Any] = SharedQueue(ack=True, lease=6000.0)
    ready: SharedQueue[Any] = SharedQueue()
    queue.put_many([np.zeros(50_000), np.ones(50_000)])
    doomed = fork(_take_and_stay, queue, ready)
    ready.get(timeout=PATIENCE)
    if dies_before:
        kill(doomed)
        queue.shutdown(immediate=True)
    else:
        queue.shutdown(immediate=True)
        assert queue.statistics().leased == 2
        kill(doomed)
    with pytest.raises(QueueShutDown):
        queue.lease()
    figures = queue.statistics()
    assert (figures.leased, figures.arrays, figures.array_bytes) == (0, 0, 0)


def _take_and_stay(queue: SharedQueue[Any], ready: SharedQueue[Any]) -> None:
    leases = queue.lease_many(2, min=2)
    ready.put(len(leases))
    threading.Event().wait()


# How many may take part.


def test_so_many_can_begin_by_putting_and_a_later_one_when_one_is_done(fork: Start):
    queue: SharedQueue[Any] = SharedQueue(1 << 16)

    def another() -> SharedQueue[Any]:
        # Each handle is a participant of its own.
        return SharedQueue._attach(os.dup(queue.fileno()), 0.0)

    putters = [another() for _ in range(1, SENDERS)]
    for number, putter in enumerate(putters, 1):
        putter.put(number)
    # A dead one counts as long as something of it is inside.
    assert ended(fork(children.put, queue, 0)) == 0
    late = another()
    taken = f"all seats of the queue are taken, {SENDERS} of {SEATS}"
    match = f"{taken} for a process that begins by putting"
    with pytest.raises(Rejected, match=match) as refused:
        late.put(SENDERS)
    assert "take what dead ones have put" in (refused.value.hint or "")
    # For takers there is room, and they may put, too.
    takers = [another() for _ in range(SEATS - SENDERS)]
    for number, taker in enumerate(takers, SENDERS):
        assert taker.get_many(min=0, max=1) != []
        taker.put(number)
    with pytest.raises(Rejected):
        another().get_nowait()
    left = takers[0].get_many(SEATS)
    assert len(left) == SENDERS
    # Nothing of the dead one is inside, so its seat is free.
    late.put("late")
    assert takers[0].get() == "late"
    with pytest.raises(Rejected):
        another().put("later")
    putters[0].close()
    another().put("later")
    assert takers[0].get() == "later"


# Memory of a sender that does nothing.


def test_what_an_idle_sender_has_sent_keeps_nobody_elses_memory(fork: Start):
    size = 1 << 20
    queue: SharedQueue[Any] = SharedQueue(4 * size, arena_bytes=size)
    go: SharedQueue[Any] = SharedQueue()
    sender = fork(_send_when_told, queue, go, size)
    for _ in range(3):
        go.put("send")
        # All of its arena each time: it takes back what was read when it sends again.
        assert queue.get(timeout=PATIENCE).nbytes == size
        # And meanwhile that is its own memory, not that of others.
        queue.put(np.zeros(size, "u1"), timeout=PATIENCE)
        assert queue.get().nbytes == size
    go.shutdown()
    assert ended(sender) == 0


def _send_when_told(queue: SharedQueue[Any], go: SharedQueue[Any], size: int) -> None:
    for _ in go:
        queue.put(np.ones(size, "u1"), timeout=PATIENCE)
