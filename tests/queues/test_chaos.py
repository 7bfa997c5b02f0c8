"""A short share of the chaos run; `make chaos` runs it for as long as one likes."""

from __future__ import annotations

import importlib
import random
from collections import Counter

import pytest

from penstock import LifoQueue, PriorityQueue, Queue
from tests.chaos import queues
from tests.chaos.content import Content
from tests.chaos.ledger import Batch, Ledger
from tests.chaos.peers import AnyioGetters, AsyncioGetters, SidedGetters
from tests.chaos.same_tick import Door, Trial
from tests.loops import LOOPS, NATIVE

FRESH = random.SystemRandom().getrandbits(32)
SEEDS = [1, 2, pytest.param(FRESH, id="fresh")]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled(seed):
    assert queues.run(seed, 1.0) > 1000


def trials(loop: str, door: type[Door]) -> list[Trial]:
    trials = [Trial(door, random.Random(seed)) for seed in range(5)]
    for trial in trials:
        trial.run(loop)
    return trials


@pytest.mark.parametrize("door", queues.DOORS)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_trial_ends_operations_in_every_way_and_loses_none(loop, door):
    ends: Counter[str] = Counter()
    for seed, trial in enumerate(trials(loop, door)):
        trial.check(f"seed {seed}")
        ends += trial.ledger.ends
    assert ends["scope"] + ends["native"] > 500
    assert min(ends["done"], ends["fed"]) > 50
    assert ends["closed"] == 30
    assert min(ends["own"], ends["move_on_after"]) > 0
    if loop in NATIVE:
        assert min(ends["scope"], ends["native"]) > 100
        assert min(ends["timeout"], ends["wait_for"]) > 0


@pytest.mark.parametrize("loop", NATIVE)
def test_the_same_trial_shows_the_loss_where_items_are_handed_over(loop):
    tried = trials(loop, AnyioGetters)
    assert sum(len(trial.ledger.lost()) for trial in tried) > 25
    for trial in tried:
        with pytest.raises(AssertionError, match="here: lost"):
            trial.check("here")


def test_without_native_cancels_that_loss_is_not_seen():
    assert not any(trial.ledger.lost() for trial in trials("trio", AnyioGetters))


@pytest.mark.parametrize("loop", NATIVE)
def test_the_same_trial_sees_no_loss_where_there_is_none(loop):
    for trial in trials(loop, AsyncioGetters):
        trial.check("here")


@pytest.mark.parametrize("name", ["penstock.queues.janus", "penstock.queues.culsans"])
def test_queues_with_two_sides(name):
    library = importlib.import_module(name)
    for loop in NATIVE:
        for trial in trials(loop, type(name, (SidedGetters,), {"library": library})):
            trial.check(f"{name} on {loop}")


def test_the_ledger_judges():
    def ledger(**books: list) -> Ledger:
        ledger = Ledger()
        ledger.__dict__.update(books)
        return ledger

    ledger(sent=[1, 2, 3], got=[1, 2], dropped=[3]).check("here")
    ledger(got=[1, 2], batches=[Batch([1, 2, 3], None), Batch([4], 0)]).check("here")
    wrong = {
        "doubled": ledger(sent=[1], got=[1, 1]),
        "never put": ledger(got=[1]),
        "lost": ledger(sent=[1]),
        "lost ": ledger(sent=[1, 2, 3], got=[1], cleared=1),
        "0 were accepted": ledger(got=[1], batches=[Batch([1], 0)]),
        "2 were accepted": ledger(got=[1], batches=[Batch([1, 2], 2)]),
        "None were accepted": ledger(got=[2], batches=[Batch([1, 2], None)]),
    }
    for verdict, books in wrong.items():
        with pytest.raises(AssertionError, match=f"here: .*{verdict}"):
            books.check("here")


@pytest.mark.parametrize(("kind", "due"), [(Queue, 1), (LifoQueue, 3), (PriorityQueue, 0)])
def test_the_ledger_knows_what_is_due(kind, due):
    ledger = Ledger()
    content = Content(kind, ledger)
    for item in (1, 0, 3):
        content.put(item)
    for item in (due, 7):
        content.take(item)
    assert ledger.faults == [f"7 came where {content.due()} was due"]
    content.drop(1)
    assert "1 were dropped of 2" in ledger.faults[1]


@pytest.mark.parametrize(("kind", "due"), [(Queue, 0), (LifoQueue, 0), (PriorityQueue, 1)])
def test_the_ledger_knows_whose_turn_it_is(kind, due):
    ledger = Ledger()
    content = Content(kind, ledger, is_fair=True)
    for item in (1, 0, 3):
        content.put(item)
    with content.getters.turn() as first, content.getters.turn() as second:
        assert content.due(second) == due
        content.take(due, second)
        content.take(due, first)
        assert len(ledger.faults) == 1
        assert content.due() is None
        assert not content.is_still()
