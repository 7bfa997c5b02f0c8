"""A round of the chaos run, in the ordinary tests; `make chaos ROOM=saga` has more."""

from __future__ import annotations

import pytest

from tests.chaos.saga import PATIENT, SAGAS, run


@pytest.mark.timeout(PATIENT + 30)
def test_a_round_of_chaos():
    assert run(seed=1, seconds=0.1) == SAGAS
