"""A short share of the chaos run, with a seed that stays."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("seed", [1, 2])
def test_a_share_of_chaos(seed):
    chaos = importlib.import_module("tests.chaos.streams")
    assert chaos.run(seed, 4.0) > 1000
