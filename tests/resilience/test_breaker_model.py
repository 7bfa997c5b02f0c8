"""The breaker against a model in plain Python: calls that overlap, time, modes, in both scopes."""

from __future__ import annotations

import asyncio
import itertools
import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from penstock import CircuitBreaker, Policy
from penstock.testing import FakeClock

from .breaker_table import Player

OPEN_FOR, SLOW_AFTER, EXPIRES = 5, 3, 21.5
_names = (f"model-{os.getpid()}-{number}" for number in itertools.count())


class Model:
    """One breaker; a permit is the list of what it was let through by, emptied when it counts."""

    def __init__(self, rules: CircuitBreaker) -> None:
        self.rules = rules
        self.now = 0
        self.mode = "normal"
        self.change("closed")

    def change(self, state: str) -> None:
        self.state = state
        self.era = object()
        self.outcomes: list[tuple[int, bool, bool]] = []
        self.out: list[dict[str, object]] = []
        self.answers: list[bool] = []
        self.since = self.now

    def admit(self) -> dict[str, object] | None:
        """A permit, or None."""
        refused = {"kind": "ghost"} if self.mode == "shadow" else None
        if self.mode == "disabled":
            return {"kind": "ghost"}
        if self.mode == "forced_open":
            return None
        if self.state == "closed":
            return {"kind": "call", "era": self.era}
        if self.state == "open":
            if self.now < self.since + OPEN_FOR:
                return refused
            self.change("half_open")
        if not self.has_room():
            self.out = [each for each in self.out if each["until"] > self.now]
            if not self.has_room():
                return refused
        probe = {"kind": "probe", "until": self.now + EXPIRES}
        self.out.append(probe)
        return probe

    def has_room(self) -> bool:
        most = self.rules.success_threshold + self.rules.probe_failures
        out = len(self.out)
        return out < self.rules.probes and out + len(self.answers) < most

    def end(self, permit: dict[str, object], ok: bool | None, took: int) -> None:
        """`ok` is None if it was cancelled."""
        is_slow = self.rules.slow_rate is not None and took >= SLOW_AFTER
        if permit["kind"] == "probe" and any(each is permit for each in self.out):
            self.out = [each for each in self.out if each is not permit]
            if ok is not None:
                self.answers.append(ok and not is_slow)
                if self.answers.count(True) >= self.rules.success_threshold:
                    self.change("closed")
                elif self.answers.count(False) > self.rules.probe_failures:
                    self.change("open")
        elif permit.get("era") is self.era and self.mode != "disabled" and ok is not None:
            self.outcomes.append((self.now, not ok, is_slow))
            if self.is_too_much():
                self.change("open")

    def is_too_much(self) -> bool:
        rules, seen = self.rules, self.outcomes
        if rules.window == "consecutive":
            last = seen[-rules.failure_threshold :]
            return len(last) == rules.failure_threshold and all(failed for _, failed, _ in last)
        if rules.window == "count":
            seen = seen[-int(rules.size) :]
        else:
            seen = [each for each in seen if each[0] > self.now - rules.size]
        if len(seen) < rules.min_calls:
            return False
        failures, slow = sum(each[1] for each in seen), sum(each[2] for each in seen)
        return bool(
            (rules.failure_threshold is not None and failures >= rules.failure_threshold)
            or (rules.failure_rate is not None and failures >= rules.failure_rate * len(seen))
            or (rules.slow_rate is not None and slow >= rules.slow_rate * len(seen))
        )


@st.composite
def breakers(draw):
    window = draw(st.sampled_from(["consecutive", "count", "time"]))
    more = {}
    if window != "consecutive":
        # A window of ten seconds has a bucket for each, so whole seconds are exact.
        size = draw(st.integers(1, 6)) if window == "count" else 10
        more = {
            "size": size,
            "min_calls": draw(st.integers(1, min(size, 4))),
            "failure_rate": draw(st.sampled_from([None, 0.5, 1.0])),
            "failure_threshold": draw(st.integers(1, min(size, 4))),
        }
        if draw(st.booleans()):
            more |= {"slow_rate": 0.5, "slow_after": float(SLOW_AFTER)}
    else:
        more = {"failure_threshold": draw(st.integers(1, 4))}
    return CircuitBreaker(
        window=window,
        open_for=float(OPEN_FOR),
        probes=draw(st.integers(1, 3)),
        success_threshold=draw(st.integers(1, 3)),
        probe_failures=draw(st.integers(0, 2)),
        probe_expires=EXPIRES,
        scope=draw(st.sampled_from(["process", "machine"])),
        **more,
    )


class Breaking(RuleBasedStateMachine):
    @initialize(rules=breakers())
    def begin(self, rules):
        self.clock = FakeClock()
        self.clock.__enter__()
        self.runner = asyncio.Runner()
        self.player = Player(Policy(next(_names), rules), self.clock, 0.0)
        self.model = Model(rules)
        self.permits = {}
        self.numbers = itertools.count()

    def teardown(self):
        if hasattr(self, "runner"):
            self.runner.run(self.player.end())
            self.runner.close()
            self.clock.__exit__()

    def look(self):
        assert self.player.policy.circuit.state == self.model.state
        assert self.player.policy.circuit.mode == self.model.mode

    def begins(self):
        name = str(next(self.numbers))
        expected = self.model.admit()
        assert self.runner.run(self.player.begin(name)) == (expected is not None)
        if expected is not None:
            self.permits[name] = expected, self.model.now
        self.look()
        return name

    def ends(self, name, how):
        permit, begun = self.permits.pop(name)
        ok = {"ok": True, "fail": False, "cancel": None}[how]
        self.runner.run(self.player.finish(name, how))
        self.model.end(permit, ok, self.model.now - begun)
        self.look()

    def passes(self, seconds):
        self.clock.advance(seconds)
        self.model.now += seconds
        self.look()

    @rule()
    def a_call_begins(self):
        self.begins()

    @precondition(lambda self: getattr(self, "permits", None))
    @rule(how=st.sampled_from(["ok", "fail", "cancel"]), which=st.integers(0, 99))
    def a_call_ends(self, how, which):
        self.ends(sorted(self.permits)[which % len(self.permits)], how)

    @rule(
        hows=st.lists(st.sampled_from(["ok", "fail", "fail", "cancel"]), min_size=1, max_size=5),
        took=st.sampled_from([0, 0, SLOW_AFTER - 1, SLOW_AFTER]),
    )
    def calls_one_by_one(self, hows, took):
        for how in hows:
            name = self.begins()
            self.passes(took)
            if name in self.permits:
                self.ends(name, how)

    @rule(seconds=st.sampled_from([1, OPEN_FOR - 1, OPEN_FOR, 9, 10, 22]))
    def time_passes(self, seconds):
        self.passes(seconds)

    @rule()
    def failures_open_it_and_its_time_passes(self):
        self.calls_one_by_one(["fail"] * 4, 0)
        self.passes(OPEN_FOR)

    @rule(what=st.sampled_from(["normal"] * 6 + ["shadow", "forced_open", "disabled", "reset"]))
    def an_operator_comes(self, what):
        if what == "reset":
            self.player.policy.circuit.reset()
            self.model.change("closed")
        else:
            self.player.policy.circuit.mode = self.model.mode = what
        self.look()


TestBreaking = Breaking.TestCase
TestBreaking.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
