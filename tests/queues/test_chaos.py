"""A short share of the chaos run; `make chaos` runs it for as long as one likes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def chaos() -> ModuleType:
    path = Path(__file__).parent.parent / "chaos" / "queues.py"
    spec = importlib.util.spec_from_file_location("penstock_chaos_queues", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_doubled(chaos, seed):
    assert chaos.run(seed, 3.0) > 0
