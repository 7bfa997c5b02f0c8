"""A round of the chaos run, in the ordinary tests; `make chaos ROOM=outbox` has more."""

from __future__ import annotations

from tests.chaos.outbox import EVENTS, run


def test_a_round_of_chaos():
    assert run(seed=1, seconds=0.1) == EVENTS
