"""What Redis answers, report by report: the scripts by themselves, in any order."""

from __future__ import annotations

import json
import random

import pytest

from penstock.engines.redis.links import SILENCE_MS
from penstock.engines.redis.scripts import CIRCUIT, SHARE
from penstock.engines.redis.shares import EVEN, GRACE_MS

HOUR = 3_600_000
LEASE_MS = 2_000


class Shares:
    """Machines that report in turn, and take what they are given, or miss the answer."""

    def __init__(self, client):
        self.client = client
        self.held = {}

    def report(self, machine, weight=0.0, *, is_heard=True, definition="limit=10"):
        held, has_share = self.held.get(machine, 0.1), machine in self.held
        told = [machine, definition, SILENCE_MS, held, weight, int(has_share), GRACE_MS, EVEN]
        answer = json.loads(self.client.eval(SHARE, 1, "test", *told))
        if is_heard and "share" in answer:
            self.held[machine] = answer["share"]
        return answer

    def shift(self, field, by):
        """Moves what was noted, as if the clock had moved the other way."""
        fields = {
            name: json.loads(value)
            for name, value in self.client.hgetall("test").items()
            if not name.startswith("=")
        }
        if field in fields:
            fields[field]["seen"] += by
            self.client.hset("test", field, json.dumps(fields[field]))
        else:
            self.client.hincrby("test", field, by)

    def shift_all(self, by):
        for field in self.client.hkeys("test"):
            if field != "=definition":
                self.shift(field, by)


@pytest.fixture
def shares(redis_server):
    return Shares(redis_server.client)


def test_a_share_moves_when_its_holder_has_said_that_it_let_go(shares):
    assert shares.report("one")["share"] == 1.0
    assert shares.report("two")["share"] == pytest.approx(0.1), "nothing is free"
    assert shares.report("one")["share"] == 0.5
    assert shares.report("two")["share"] == pytest.approx(0.1), "it may not have heard yet"
    shares.shift("=born", -GRACE_MS - 1)
    shares.report("one")
    assert shares.report("two")["share"] == 0.5


def test_the_sum_is_kept_whoever_reports_and_whatever_is_missed(shares):
    draw = random.Random(7)
    for _ in range(3):
        for machine in "abcd":
            shares.report(machine)
    shares.shift("=born", -GRACE_MS - 1)
    for _ in range(10):
        for machine in "abcd":
            shares.report(machine)
    assert sum(shares.held.values()) == pytest.approx(1.0, abs=1e-6)
    moved = 0
    for _ in range(2_000):
        machine = draw.choice("abcd")
        before = shares.held[machine]
        shares.report(machine, draw.choice([0, 0, 1, 50]), is_heard=draw.random() > 0.2)
        moved += shares.held[machine] != before
        assert sum(shares.held.values()) <= 1.0 + 1e-9
        if draw.random() < 0.01:
            shares.shift_all(draw.choice([-HOUR, HOUR]))
        if draw.random() < 0.005:
            shares.client.flushall()
            for each in "abcd":  # all are back within the grace
                shares.report(each)
        if draw.random() < 0.1:
            shares.shift("=born", -GRACE_MS - 1)
    assert moved > 200


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_after_a_gap_nobody_is_forgotten_and_no_share_grows(shares, by):
    for machine in ("one", "two", "one", "two", "one", "two"):
        shares.report(machine)
    shares.shift_all(by)
    for _ in range(3):
        answer = shares.report("one", 100.0)
        assert answer["machines"] == 2
        assert answer["share"] == shares.held["one"] <= 0.5


def test_one_that_is_silent_for_long_is_not_counted(shares):
    for machine in ("one", "two", "one", "two"):
        shares.report(machine)
    shares.shift("two", -SILENCE_MS - 1)
    shares.shift("=born", -GRACE_MS - 1)
    assert shares.report("one") == {"share": 1, "machines": 1}


def test_a_machine_with_a_future_report_goes_silent_too(shares):
    for machine in ("one", "two"):
        shares.report(machine)
    shares.shift("two", HOUR)
    shares.report("one")
    assert json.loads(shares.client.hget("test", "two"))["seen"] > 0
    assert shares.report("one")["machines"] == 2


class Circuits:
    def __init__(self, client):
        self.client = client
        self.generation = {}

    def report(self, machine, state, *, wants=False, own=True, left=0, known=0):
        before = self.generation.get(machine, (0, "closed"))
        number = before[0] + (before[1] != state)
        self.generation[machine] = (number, state)
        told = [machine, "definition", SILENCE_MS, state, number, int(own), left, int(wants)]
        told += [LEASE_MS, known, "channel"]
        return json.loads(self.client.eval(CIRCUIT, 1, "test", *told))

    def expire_lease(self):
        lease = json.loads(self.client.hget("test", "=lease"))
        lease["expires"] -= LEASE_MS + 1
        self.client.hset("test", "=lease", json.dumps(lease))


@pytest.fixture
def circuits(redis_server):
    return Circuits(redis_server.client)


def test_one_machine_has_the_lease_and_its_outcome_ends_it(circuits):
    circuits.report("one", "open", left=5)
    circuits.report("two", "open", left=5)
    assert circuits.report("one", "open", wants=True)["granted"] == 1
    refused = circuits.report("two", "open", wants=True)
    assert refused["granted"] == 0
    assert 0 < refused["wait"] <= LEASE_MS
    assert circuits.report("one", "half_open")["granted"] == 1, "a report renews it"
    assert circuits.report("one", "open", left=9)["granted"] == 0
    seen = circuits.report("two", "open", wants=True)
    assert seen["granted"] == 2
    (failed,) = seen["others"]
    assert failed["probed"] == 1, "it was the outcome of a probe under the first fence"


def test_the_outcome_of_a_lease_that_ran_out_has_no_fence(circuits):
    circuits.report("one", "open", left=5)
    circuits.report("one", "open", wants=True)
    circuits.report("one", "half_open")
    circuits.expire_lease()
    assert circuits.report("two", "open", wants=True)["granted"] == 2
    circuits.report("one", "closed")
    seen = circuits.report("two", "half_open")
    assert seen["others"][0]["probed"] == 0
    assert seen["granted"] == 2, "and it took no lease away"


def test_a_fence_is_higher_than_any_that_a_machine_knows(circuits):
    circuits.report("one", "open")
    assert circuits.report("one", "open", wants=True, known=41)["granted"] == 42


def test_a_lease_from_the_future_is_none(circuits):
    circuits.report("one", "open")
    circuits.report("one", "open", wants=True)
    lease = json.loads(circuits.client.hget("test", "=lease"))
    lease["expires"] += HOUR  # the clock has gone back by so much
    circuits.client.hset("test", "=lease", json.dumps(lease))
    circuits.report("two", "open")
    assert circuits.report("two", "open", wants=True)["granted"] == 2


def test_openings_are_in_order_without_a_clock(circuits):
    first = circuits.report("one", "open", left=9)
    assert first["changed"] == 1
    assert circuits.report("two", "closed")["changed"] == 0, "one that comes has changed nothing"
    assert circuits.report("two", "open", own=False)["changed"] == 0, "one that follows, neither"
    assert circuits.report("one", "closed")["changed"] == 2
    assert circuits.report("two", "closed", own=False)["others"][0]["changed"] == 2
