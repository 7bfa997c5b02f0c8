"""A short share of `make chaos ROOM=workers`, from fixed seeds."""

from __future__ import annotations

import pytest

from tests.chaos import workers


@pytest.mark.timeout(150)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_callers_get_answers_whatever_dies(seed: int):
    assert workers.run(seed, 4.0) > 0
