"""A round of the chaos run, in the ordinary tests; `make chaos ROOM=cqrs` has more."""

from __future__ import annotations

import pytest

from tests.chaos.cqrs import run


@pytest.mark.timeout(300)  # some sixty processes, one after the other
def test_killed_anywhere_rows_and_events_are_both_there_or_neither():
    assert run(seed=1, seconds=0.1) >= 40
