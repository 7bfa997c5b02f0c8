"""A few rounds of the chaos run, in the ordinary tests; `make chaos ROOM=messages` has more."""

from __future__ import annotations

from tests.chaos.messages import MESSAGES, run


def test_a_round_of_chaos():
    assert run(seed=1, seconds=0.1) == MESSAGES
