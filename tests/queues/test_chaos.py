"""A short share of the chaos run; `make chaos` runs it for as long as one likes."""

from __future__ import annotations

import random

import anyio
import pytest

from tests.chaos import queues
from tests.chaos.same_tick import Door, Getters, Putters, StreamGetters, Trial
from tests.loops import LOOPS, NATIVE


def trial(loop: str, door: type[Door], seed: int) -> Trial:
    trial = Trial(door, random.Random(seed))
    backend, options = LOOPS[loop]
    anyio.run(trial.main, backend=backend, backend_options=options)
    return trial


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_doubled(seed):
    assert queues.run(seed, 2.0) > 0


@pytest.mark.parametrize("door", [Getters, Putters])
@pytest.mark.parametrize("loop", LOOPS)
def test_cancellation_in_the_same_tick_loses_and_doubles_nothing(loop, door):
    operations = sum(trial(loop, door, seed).check(f"seed {seed}") for seed in range(10))
    assert operations > 2000


@pytest.mark.parametrize("loop", NATIVE)
def test_the_same_trial_shows_the_loss_where_items_are_handed_over(loop):
    found = trial(loop, StreamGetters, 1)
    assert len(found.lost()) > 5
    with pytest.raises(AssertionError, match="here: lost"):
        found.check("here")
