"""The deadline of a call goes with the work that it hands to a pool."""

from __future__ import annotations

import time

import anyio
import pytest

from penstock import Deadline, Policy, WorkerPool
from penstock.resilience import DeadlineExceeded, remaining
from penstock.testing import FakeClock
from penstock.tracing import TraceContext


def left() -> float | None:
    return remaining()


def through_a_policy_of_its_own() -> float | None:
    return Policy("inner", Deadline(60.0)).call(remaining)


def with_no_time_left() -> None:
    Policy("inner", Deadline(60.0)).call(time.sleep, 0.0)


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(workers=1, name="deadlines") as pool:
        yield pool


async def test_what_is_left_of_it_is_known_in_the_worker(anyio_backend, pool):
    policy = Policy("outer", Deadline(30.0))
    found = await policy.run(pool.run, left)
    assert 0 < found < 30.0
    assert 0 < await policy.run(pool.run, through_a_policy_of_its_own) < 30.0
    assert await pool.run(left) is None, "none without it"
    assert await pool.run(through_a_policy_of_its_own) > 50.0


def test_in_threads(pool):
    policy = Policy("outer", Deadline(30.0))
    assert 0 < policy.call(lambda: pool.submit(left).result()) < 30.0
    assert pool.submit(left).result() is None


def test_the_sooner_one_counts_and_the_trace_stays(pool):
    policy = Policy("outer", Deadline(30.0))
    context = TraceContext().child().replace(baggage={"who": "me"})
    for seconds, soonest in ((10.0, 10.0), (90.0, 30.0)):
        with context.replace(deadline=time.monotonic() + seconds).activate() as current:
            found = policy.call(lambda: pool.submit(TraceContext.current).result())
            assert soonest - 9.0 < found.deadline - time.monotonic() < soonest
            assert found.trace_id == current.trace_id
            assert found.baggage == {"who": "me"}


def test_a_deadline_that_has_passed_ends_what_begins_there(pool):
    with TraceContext().replace(deadline=time.monotonic() - 1.0).activate():
        future = pool.submit(with_no_time_left)
    with pytest.raises(DeadlineExceeded):
        future.result()


async def test_a_moment_of_a_virtual_clock_means_nothing_there(anyio_backend, pool):
    with FakeClock():
        policy = Policy("virtual", Deadline(30.0))
        with anyio.fail_after(30):
            assert await policy.run(pool.run, left) is None
