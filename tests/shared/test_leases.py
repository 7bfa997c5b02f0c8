"""Items that stay the queue's until they are acknowledged: redelivered, never lost."""

from __future__ import annotations

import pickle
import signal
import time
from typing import Any

import numpy as np
import pytest

from penstock import SharedQueue
from penstock.errors import Conflict, Misuse
from penstock.queues import QueueEmpty, QueueShutDown
from penstock.shared import Lease, LeaseLost, Unreadable

from . import children
from .conftest import PATIENCE, Start, ended, named

pytestmark = pytest.mark.usefixtures("clean")


def make(lease: float = 600.0, **settings: Any) -> SharedQueue[Any]:
    return SharedQueue(ack=True, lease=lease, name=named("jobs"), **settings)


def test_an_item_goes_when_it_is_acknowledged():
    queue = make()
    queue.put_many(["a", {"b": 1}])
    lease = queue.lease()
    assert isinstance(lease, Lease)
    assert (lease.item, lease.is_settled) == ("a", False)
    assert (queue.statistics().leased, len(queue)) == (1, 1)
    lease.ack()
    assert lease.is_settled
    assert queue.statistics().leased == 0
    assert repr(lease) == f"<Lease of 'a' of shared queue '{queue.name}', settled>"
    with queue.lease() as item:
        assert item == {"b": 1}
    with pytest.raises(QueueEmpty):
        queue.lease(block=False)


def test_an_item_that_is_given_back_comes_again():
    queue = make()
    queue.put("a")
    queue.lease().give_back()
    lease = queue.lease(timeout=PATIENCE)
    assert lease.item == "a"
    lease.ack()
    with pytest.raises(QueueEmpty):
        queue.lease(timeout=0.001)


def test_a_block_that_raises_gives_its_item_back():
    queue = make()
    queue.put("a")
    with pytest.raises(ZeroDivisionError), queue.lease() as item:
        assert item == "a"
        raise ZeroDivisionError
    with queue.lease(timeout=PATIENCE) as item:
        assert item == "a"
    assert queue.statistics().leased == 0


def test_a_block_may_settle_by_itself():
    queue = make()
    queue.put_many(["a", "b"])
    lease = queue.lease()
    with lease:
        lease.ack()
    lease = queue.lease()
    with pytest.raises(ZeroDivisionError), lease:
        lease.ack()
        raise ZeroDivisionError
    with pytest.raises(QueueEmpty):
        queue.lease(timeout=0.001)


def test_a_lease_is_settled_once():
    queue = make()
    queue.put("a")
    lease = queue.lease()
    lease.ack()
    for again in (lease.ack, lease.give_back):
        with pytest.raises(
            Misuse, match=r"shared queue 'jobs-[0-9]+': this lease was settled before"
        ):
            again()


def test_an_item_whose_time_is_up_comes_again_and_the_late_ack_is_refused():
    queue = make(lease=0.05)
    queue.put("a")
    late = queue.lease()
    again = queue.lease(timeout=PATIENCE)  # another taker's, when the first one's time is up
    assert again.item == "a"
    for call in (late.ack, late.give_back):
        with pytest.raises(LeaseLost, match=r"'jobs-[0-9]+': the lease of 0\.05 s is over") as lost:
            call()
        assert isinstance(lost.value, Conflict)
        assert "make the lease longer" in (lost.value.hint or "")
        assert str(pickle.loads(pickle.dumps(lost.value))) == str(lost.value)


def test_a_block_that_took_too_long_says_so():
    queue = make(lease=0.05)
    queue.put("a")
    with pytest.raises(LeaseLost), queue.lease():
        queue.lease(timeout=PATIENCE)
    # What the block itself raises is what happened.
    slow = queue.lease(timeout=PATIENCE)
    with pytest.raises(ZeroDivisionError), slow:
        queue.lease(timeout=PATIENCE)
        raise ZeroDivisionError


def test_a_dead_takers_items_go_to_another(start: Start):
    queue, ready = make(), SharedQueue[Any]()
    queue.put_many(["a", "b", "c"])
    doomed = start(children.take_and_stay, queue, ready)
    assert ready.get(timeout=PATIENCE) == ["a", "b"]
    with queue.lease(timeout=PATIENCE) as item:
        assert item == "c"
    doomed.kill()
    assert ended(doomed) == -signal.SIGKILL
    begun = time.monotonic()
    leases = [queue.lease(timeout=PATIENCE) for _ in range(2)]
    assert sorted(lease.item for lease in leases) == ["a", "b"]
    assert time.monotonic() - begun < 10, "a death is seen at once, not at the lease's end"
    for lease in leases:
        lease.ack()
    assert queue.statistics().leased == 0


def test_what_a_process_had_when_it_left_goes_to_another(start: Start):
    queue, got = make(), SharedQueue[Any]()
    queue.put("a")
    assert ended(start(children.lease_and_leave, queue, got)) == 0
    assert got.get(timeout=PATIENCE) == "a"
    with queue.lease(timeout=PATIENCE) as item:
        assert item == "a"


def test_large_items_under_a_lease():
    queue = make()
    text, array = "x" * 200_000, np.arange(100_000)
    queue.put_many([text, {"array": array}, b"y" * 1000, [[list(range(50))]] * 5])
    for _ in range(2):
        leases = queue.lease_many(4, min=4, timeout=PATIENCE)
        items = [lease.item for lease in leases]
        whole = next(item for item in items if isinstance(item, dict))
        assert np.array_equal(whole["array"], array)
        assert text in [item for item in items if isinstance(item, str)]
        assert b"y" * 1000 in [item for item in items if isinstance(item, bytes)]
        for lease in leases:
            lease.give_back()
    for lease in queue.lease_many(4, min=4, timeout=PATIENCE):
        lease.ack()


async def test_leases_in_loops(anyio_backend):
    queue = make()
    await queue.aput_many(range(5))
    with await queue.alease() as item:
        assert item == 0
    for lease in await queue.alease_many(2, min=2):
        lease.ack()
    queue.shutdown()
    seen = []
    async for lease in queue.leases():
        with lease as item:
            seen.append(item)
    assert seen == [3, 4]
    with pytest.raises(QueueShutDown):
        await queue.alease()


def test_a_queue_that_is_shut_down_waits_for_what_is_out():
    queue = make()
    queue.put_many(["a", "b"])
    first = queue.lease()
    queue.shutdown()
    with queue.lease() as item:
        assert item == "b"
    first.give_back()
    assert [lease.item for lease in _acknowledged(queue)] == ["a"]


def _acknowledged(queue: SharedQueue[Any]) -> list[Lease[Any]]:
    found = []
    for lease in queue.leases():
        lease.ack()
        found.append(lease)
    return found


def test_takes_without_a_lease_are_refused_and_the_other_way_round():
    jobs, plain = make(), SharedQueue[int](name=named("plain"))
    jobs.put(1)
    plain.put(1)
    calls = (
        jobs.get,
        jobs.get_nowait,
        jobs.get_many,
        jobs.get_bytes,
        jobs.aget,
        jobs.aget_many,
        jobs.aget_bytes,
        lambda: iter(jobs),
    )
    for call in calls:
        with pytest.raises(
            Misuse, match=r"'jobs-[0-9]+': its items have to be acknowledged"
        ) as refused:
            call()
        assert "queue.lease()" in (refused.value.hint or "")
    for call in (plain.lease, plain.lease_many, plain.alease, plain.alease_many, plain.leases):
        with pytest.raises(Misuse, match=r"'plain-[0-9]+': nothing is acknowledged here"):
            call()  # type: ignore[operator]
    assert (len(jobs), len(plain)) == (1, 1)


def test_an_item_that_cannot_be_rebuilt_can_be_settled():
    queue = make()
    queue.put(children.Unpicklable())
    queue.put("next")
    with pytest.raises(Unreadable, match="ZeroDivisionError") as failure:
        queue.lease()
    lease = failure.value.lease
    assert lease is not None
    assert lease.item == failure.value.record
    with queue.lease() as item:
        assert item == "next"
    lease.ack()
    assert queue.statistics().leased == 0
    again = pickle.loads(pickle.dumps(failure.value))
    assert (again.record, again.lease) == (failure.value.record, None)
