"""A lease is renewed while its holder makes progress, and found lost by its holder first."""

from __future__ import annotations

import pytest

from penstock._durable.leases import Lease
from penstock._durable.writes import Kind, Write

RENEW: Kind[str, bool] = Kind("renew", lambda _session, _now, owners: [True] * len(owners))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(12.0, lambda lease: Write(RENEW, lease.owner), clock=clock)


def confirm(write: Write[bool], result: bool = True) -> None:
    write.result = result
    write.sleeper.wake()


def test_a_holder_of_nothing_loses_nothing_and_renews_nothing(lease, clock):
    clock.now += 1000
    assert not lease.is_lost
    assert lease.due() is None


def test_it_counts_from_before_the_claim_was_sent(lease, clock):
    clock.now += 1000
    sent = clock.now
    lease.claiming(sent, 1)
    clock.now += 5  # the answer took its time
    lease.extended(sent)
    clock.now = sent + 11.9
    assert not lease.is_lost
    clock.now = sent + 12.0
    assert lease.is_lost


def test_progress_lets_it_be_renewed(lease, clock):
    lease.claiming(clock.now, 1)
    for _ in range(20):
        assert lease.due() == clock.now + 4.0
        clock.now += 4.0
        lease.beat()
        write = lease.renewal()
        assert write is not None
        assert lease.due() is None, "one is under way"
        confirm(write)
    assert not lease.is_lost


def test_a_stuck_loop_is_not_renewed_and_finds_itself_fenced(lease, clock):
    lease.claiming(clock.now, 1)
    lease.beat()
    clock.now += 4.5  # no beat for more than a third
    assert lease.renewal() is None
    assert lease.due() == clock.now + 1.0
    clock.now += 7.5
    assert lease.is_lost
    assert lease.due() is None
    lease.beat()
    lease.extended(clock.now)
    assert lease.is_lost, "what is lost stays lost"


def test_a_store_that_forgot_the_holder_fences_it(lease, clock):
    lease.claiming(clock.now, 1)
    clock.now += 4
    lease.beat()
    write = lease.renewal()
    confirm(write, False)
    assert lease.is_lost


def test_a_renewal_that_fails_is_tried_again_soon(lease, clock):
    lease.claiming(clock.now, 1)
    clock.now += 4
    lease.beat()
    write = lease.renewal()
    write.error = OSError("full")
    write.sleeper.wake()
    assert not lease.is_lost
    assert lease.due() == clock.now + 1.0


def test_a_renewal_counts_from_when_it_was_sent(lease, clock):
    start = clock.now
    lease.claiming(start, 1)
    clock.now += 4
    lease.beat()
    write = lease.renewal()
    clock.now += 3
    confirm(write)
    clock.now = start + 4 + 11.9
    assert not lease.is_lost
    clock.now = start + 4 + 12
    assert lease.is_lost


def test_no_two_incarnations_have_one_name(clock):
    names = {Lease(1.0, lambda _: Write(RENEW, ""), clock=clock).owner for _ in range(100)}
    assert len(names) == 100
