"""The cache against a model of a few lines: random calls, failures and passing time."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock import Cache, Policy
from penstock.testing import FakeClock

from .calls import turn_until

TTL, STALE, NEGATIVE = 4, 3, 2


class Model:
    """One key's entry: what was answered, and until when it is fresh and stale."""

    def __init__(self):
        self.now = 0
        self.entries = {}

    def ask(self, key, load):
        """The answer, or "failed"; `load` is called where the cache has to."""
        answer, fresh, stale = self.entries.get(key, (None, -1, -1))
        if self.now < fresh:
            return answer
        if self.now < stale:
            self.store(key, load())
            renewed, renewed_until, _ = self.entries[key]
            return renewed if self.blocking and renewed_until > self.now else answer
        self.entries.pop(key, None)
        loaded = load()
        self.store(key, loaded)
        return loaded

    def store(self, key, loaded):
        if loaded != "failed":
            self.entries[key] = (loaded, self.now + TTL, self.now + TTL + STALE)
        elif self.now >= self.entries.get(key, (None, -1, -1))[2]:
            self.entries[key] = ("failed", self.now + NEGATIVE, self.now + NEGATIVE)


class Caching(RuleBasedStateMachine):
    @initialize(blocking=st.booleans())
    def begin(self, blocking):
        self.clock = FakeClock()
        self.clock.__enter__()
        self.runner = asyncio.Runner()
        self.policy = Policy("model", Cache(TTL, STALE, NEGATIVE, OSError))
        self.model = Model()
        self.model.blocking = self.blocking = blocking
        self.fails = False
        self.calls = 0
        self.loads = []

    def teardown(self):
        if hasattr(self, "runner"):
            self.runner.close()
            self.clock.__exit__()

    def load(self, key):
        self.calls += 1
        if self.fails:
            raise OSError
        return self.calls

    async def load_async(self, key):
        return self.load(key)

    async def ask(self, key):
        try:
            return await self.policy.run(self.load_async, key)
        finally:
            # A renewal in the background has its turn before time goes on.
            await turn_until(lambda: not self.policy._parts[0]._flights)

    @rule(key=st.sampled_from("ab"), fails=st.booleans())
    def asked(self, key, fails):
        self.fails = fails
        before = self.calls

        def load():
            self.loads.append(key)
            return "failed" if fails else before + 1

        loads = len(self.loads)
        expected = self.model.ask(key, load)
        try:
            got = (
                self.policy.call(self.load, key)
                if self.blocking
                else self.runner.run(self.ask(key))
            )
        except OSError:
            got = "failed"
        assert got == expected
        assert self.calls - before == len(self.loads) - loads

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds):
        self.model.now += seconds
        self.clock.advance(seconds)

    @invariant()
    def no_load_is_left(self):
        if hasattr(self, "policy"):
            assert not self.policy._parts[0]._flights


TestCaching = Caching.TestCase
TestCaching.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
