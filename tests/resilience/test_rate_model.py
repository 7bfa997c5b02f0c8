"""The rate limiter against a token bucket in plain Python: turns, waits, waiters who leave."""

from __future__ import annotations

import asyncio
import itertools
import os
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from penstock import Policy, RateLimit
from penstock.resilience import RateLimited
from penstock.testing import FakeClock

_names = (f"rate-{os.getpid()}-{number}" for number in itertools.count())


class Bucket:
    """Holds up to `burst` tokens; below zero are those that are promised to who waits."""

    def __init__(self, rules: RateLimit) -> None:
        self.rate = Fraction(rules.limit) / Fraction(rules.per)
        self.burst = Fraction(rules.burst or rules.limit)
        self.max_wait = Fraction(rules.max_wait)
        self.tokens = self.burst

    def advance(self, seconds: Fraction) -> None:
        self.tokens = min(self.burst, self.tokens + seconds * self.rate)

    def take(self) -> tuple[bool, Fraction]:
        """Whether there is a turn, and after which wait there is or would be one."""
        wait = max(Fraction(0), (1 - self.tokens) / self.rate)
        if wait > self.max_wait:
            return False, wait
        self.tokens -= 1
        return True, wait

    def give_back(self) -> None:
        self.tokens = min(self.burst, self.tokens + 1)


class Limiting(RuleBasedStateMachine):
    # Prices of a turn that are whole in nanoseconds, so that the model needs no tolerance but for
    # what a float of seconds cannot hold.
    @initialize(
        limit=st.sampled_from([1, 2, 4, 5, 8, 10]),
        per=st.sampled_from([1.0, 2.0, 10.0]),
        burst=st.sampled_from([None, 1, 2]),
        max_wait=st.sampled_from([0.0, 0.5, 3.0]),
        scope=st.sampled_from(["process", "machine"]),
    )
    def begin(self, limit, per, burst, max_wait, scope):
        self.clock = FakeClock()
        self.clock.__enter__()
        self.runner = asyncio.Runner()
        burst = None if burst is None else min(burst, limit)
        rules = RateLimit(limit, per, burst=burst, max_wait=max_wait, scope=scope)
        self.policy = Policy(next(_names), rules)
        self.model = Bucket(rules)
        self.now = Fraction(0)
        self.waiting = []  # (when its turn is, task)
        self.passed = 0

    def teardown(self):
        if hasattr(self, "runner"):
            for _, task in self.waiting:
                task.cancel()
            self.runner.run(asyncio.sleep(0))
            self.runner.close()
            self.clock.__exit__()

    async def pass_through(self):
        self.passed += 1

    async def ask(self):
        task = asyncio.get_running_loop().create_task(self.policy.run(self.pass_through))
        await settle()
        return task

    @rule()
    def somebody_asks(self):
        has_turn, wait = self.model.take()
        sleeps, passed = len(self.clock.sleeps), self.passed
        task = self.runner.run(self.ask())
        if not has_turn:
            error = task.exception()
            assert isinstance(error, RateLimited)
            assert error.retry_after == pytest.approx(float(wait), abs=1e-6)
        elif wait:
            assert not task.done()
            (slept,) = self.clock.sleeps[sleeps:]
            assert slept == pytest.approx(float(wait), abs=1e-6)
            self.waiting.append((self.now + wait, task))
        else:
            assert task.done()
            assert self.passed == passed + 1
            assert len(self.clock.sleeps) == sleeps

    @precondition(lambda self: getattr(self, "waiting", None))
    @rule(which=st.integers(0, 99))
    def one_who_waits_leaves(self, which):
        _, task = self.waiting.pop(which % len(self.waiting))
        task.cancel()
        self.runner.run(settle())
        assert task.cancelled()
        self.model.give_back()

    @rule(tenths=st.sampled_from([1, 2, 5, 10, 30]))
    def time_passes(self, tenths):
        seconds = Fraction(tenths, 10)
        passed = self.passed
        self.clock.advance(float(seconds))
        self.runner.run(settle())
        self.now += seconds
        self.model.advance(seconds)
        # A moment is a float here and nanoseconds there: a turn that is due just now is left open.
        edge = Fraction(1, 10**5)
        due = [each for each in self.waiting if each[0] < self.now - edge]
        assert all(task.done() for _, task in due)
        early = [each for each in self.waiting if each[0] > self.now + edge]
        assert not any(task.done() for _, task in early)
        done = [each for each in self.waiting if each[1].done()]
        self.waiting = [each for each in self.waiting if not each[1].done()]
        assert self.passed == passed + len(done)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


TestLimiting = Limiting.TestCase
TestLimiting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
