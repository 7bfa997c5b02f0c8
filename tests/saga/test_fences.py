"""At the engine's own face: claims, leases that end, and what a stale owner can still do."""

from __future__ import annotations

import json
import math
import time

import pytest

from penstock._durable.engines import Address
from penstock.errors import EngineError
from penstock.saga.store import (
    Change,
    Claim,
    Entry,
    Failure,
    NewSaga,
    Owner,
    Position,
    Raised,
    Stale,
)

LEASE = 10.0


class Worker:
    """One owner, driven by hand."""

    def __init__(self, engine, name, names=("book",)):
        self.engine, self.name, self.names = engine, name, names
        self.holds = False

    def call(self, write):
        return self.engine.writer.call(write)

    @property
    def owner(self):
        return Owner(self.name, LEASE, self.holds)

    def start(self, key, name="book", owned=True):
        new = NewSaga(name, key, "v1", b"1", None)
        started = self.call(self.engine.start(new, self.owner if owned else None))
        self.holds = self.holds or started.is_owned
        return started

    def claim(self, want=10):
        answer = self.call(self.engine.claim(Claim(self.owner, self.names, want)))
        self.holds = self.holds or bool(answer.claimed)
        return answer

    def keys(self, want=10):
        return [each.key for each in self.claim(want).claimed]

    def change(self, seq, fence, position, *, number=0, failure=None):
        entry = Entry(number, "a", "do", 1, "done", 0.0)
        return Change(seq, self.name, fence, [entry], number + 1, position, failure)

    def move(self, *arguments, **options):
        return self.call(self.engine.change(self.change(*arguments, **options)))

    def renew(self):
        class Held:
            owner, seconds = self.name, LEASE

        return self.call(self.engine.renewal(Held))

    def retire(self):
        return self.call(self.engine.retire(self.name))

    def find(self, key, name="book"):
        return self.call(self.engine.find(name, key))


@pytest.fixture
def engine(clock):
    engine = Address("memory://").open("saga", clock=clock)
    yield engine
    engine.close()


@pytest.fixture
def one(engine):
    return Worker(engine, "one")


@pytest.fixture
def two(engine):
    return Worker(engine, "two")


NEXT = Position("running", "do", 1, 1, False)
BACK = Position("compensating", "undo", 0, 1, False)
DONE = Position("completed", "do", 0, 1, False)
PARKED = Position("parked", "do", 0, 1, False)
MOVES = [(NEXT, None), (BACK, Failure("a", "x")), (DONE, None), (PARKED, Failure(None, "x"))]


@pytest.mark.parametrize(("position", "failure"), MOVES)
def test_a_stale_move_changes_nothing(engine, one, two, clock, position, failure):
    stale = one.start("k")
    clock.now += LEASE
    (fresh,) = two.claim().claimed
    assert (fresh.seq, fresh.fence, fresh.crashes, fresh.is_unsure) == (stale.seq, 2, 1, True)
    before = two.find("k")
    assert not one.move(stale.seq, stale.fence, position, failure=failure)
    assert not one.move(stale.seq, fresh.fence, position, failure=failure), "nor by another owner"
    assert not two.move(stale.seq, stale.fence, position, failure=failure), "nor by another fence"
    assert two.find("k") == before
    assert two.call(engine.history(stale.seq)) == []
    assert two.move(fresh.seq, fresh.fence, position, failure=failure)
    assert two.find("k").state == position.state
    assert len(two.call(engine.history(stale.seq))) == 1


def encoded(value):
    return json.dumps(value).encode()


def test_a_stale_transaction_does_not_run(engine, one, two, clock):
    stale = one.start("k")
    clock.now += LEASE
    (fresh,) = two.claim().claimed
    ran = []

    def fn(transaction):
        ran.append(1)

    def transact(worker, fence):
        change = worker.change(stale.seq, fence, NEXT)
        write = engine.transact_step(change, fn, (), encoded, time.perf_counter())
        return worker.call(write)

    assert transact(one, stale.fence) == Stale()
    assert ran == []
    assert transact(two, fresh.fence) == b"null"
    assert ran == [1]
    assert isinstance(transact(two, fresh.fence), Raised), "the same entry twice leaves nothing"
    assert len(two.call(engine.history(stale.seq))) == 1


def test_an_entry_is_written_once(engine, one):
    started = one.start("k")
    assert one.move(started.seq, 1, NEXT)
    before = one.find("k")
    with pytest.raises(EngineError, match="UNIQUE"):
        one.move(started.seq, 1, DONE)
    assert one.find("k") == before, "the move has gone with it"


def test_who_lives_is_not_taken_over(engine, one, two, clock):
    one.start("k")
    for _ in range(5):
        clock.now += LEASE * 0.9
        assert one.renew()
        answer = two.claim()
        assert answer.claimed == []
        assert answer.wait == pytest.approx(LEASE)
    clock.now += LEASE - 0.001
    assert two.keys() == []
    clock.now += 0.001
    assert two.keys() == ["k"]
    assert not one.renew()
    assert two.renew()


def test_who_was_taken_over_neither_claims_nor_starts_as_owner(engine, one, two, clock):
    one.start("k")
    clock.now += LEASE
    assert two.keys() == ["k"]
    answer = one.claim()
    assert (answer.claimed, answer.is_lost) == ((), True)
    started = one.start("l")
    assert (started.is_lost, started.is_owned, started.is_new) == (True, False, True)
    assert two.keys() == ["l"], "it is there for others at once"


def test_a_pause_before_an_attempt_outlives_its_owner(engine, one, two, clock):
    started = one.start("k")
    assert one.move(started.seq, 1, Position("running", "do", 0, 2, False, 100.0))
    clock.now += LEASE
    answer = two.claim()
    assert answer.claimed == []
    assert answer.wait == pytest.approx(100.0 - LEASE)
    clock.now += 100.0 - LEASE
    (claimed,) = two.claim().claimed
    assert (claimed.attempt, claimed.crashes, claimed.is_unsure) == (2, 0, False)


def test_giving_back_is_no_crash(engine, one, two):
    for key in "abc":
        one.start(key)
    assert one.retire() == 3
    claimed = two.claim().claimed
    assert [each.key for each in claimed] == ["a", "b", "c"]
    assert {each.crashes for each in claimed} == {0}
    assert {each.is_unsure for each in claimed} == {True}, "their steps may have run"
    assert one.retire() == 0


def test_crashes_are_counted_in_a_row(engine, clock):
    workers = [Worker(engine, str(number)) for number in range(5)]
    workers[0].start("k")
    for crashes, worker in enumerate(workers[1:], start=1):
        clock.now += LEASE
        (claimed,) = worker.claim().claimed
        assert claimed.crashes == crashes
        assert worker.find("k").crashes == crashes
    assert worker.move(claimed.seq, claimed.fence, NEXT)
    clock.now += LEASE
    (claimed,) = Worker(engine, "last").claim().claimed
    assert claimed.crashes == 1, "a step that ends begins the count anew"


def test_a_claim_takes_what_it_knows_the_longest_due_first(engine, one, two, clock):
    for number in range(4):
        one.start(str(number), owned=False)
        clock.now += 1
    one.start("r", name="refund", owned=False)
    assert two.keys(want=3) == ["0", "1", "2"]
    both = Worker(engine, "both", names=("refund", "book"))
    assert both.keys() == ["r", "3"]


def test_what_is_owned_or_has_ended_is_not_claimed(engine, one, two, clock):
    one.start("owned")
    ended = one.start("ended")
    assert one.move(ended.seq, 1, DONE)
    parked = one.start("parked")
    assert one.move(parked.seq, 1, PARKED, failure=Failure(None, "x"))
    assert two.keys() == []
    clock.now += LEASE
    assert two.keys() == ["owned"]


def test_the_wait_ends_with_whatever_comes_first(engine, one, two, clock):
    assert two.claim().wait is None
    started = one.start("k")
    assert two.claim().wait == pytest.approx(LEASE)
    assert one.move(started.seq, 1, Position("running", "do", 0, 2, False, 3.0))
    assert one.retire() == 1
    assert two.claim().wait == pytest.approx(3.0)
    assert not math.isinf(two.claim().wait)


def test_resume_is_for_what_is_parked(engine, one, two):
    started = one.start("k")
    assert not one.call(engine.resume(started.seq, "me"))
    assert one.move(started.seq, 1, PARKED, failure=Failure("a", "x"))
    assert one.call(engine.resume(started.seq, "me"))
    assert not one.call(engine.resume(started.seq, "me"))
    assert not one.call(engine.resume(999, "me"))
    (claimed,) = two.claim().claimed
    assert (claimed.version, claimed.attempt, claimed.entries) == (None, 1, 2)
    assert claimed.fence == 3, "who parked it holds nothing of it any more"
    assert not one.move(started.seq, 1, NEXT, number=2)
