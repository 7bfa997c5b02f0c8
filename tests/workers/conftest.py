"""Pools to test with, and tasks that a test holds and releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import WorkerPool
from tests.workers.steps import Step


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """One pool for the tests of a module that leave its workers alive."""
    with WorkerPool(workers=2, name="shared") as pool:
        yield pool


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Callable[[], Step]]:
    """Makes steps; closed afterwards."""
    steps: list[Step] = []

    def make() -> Step:
        folder = tmp_path / f"step-{len(steps)}"
        folder.mkdir()
        steps.append(Step(folder))
        return steps[-1]

    yield make
    for made in steps:
        made.close()


@pytest.fixture(scope="module")
def pool_of_one() -> Iterator[WorkerPool]:
    """As `pool`, but tasks queue behind each other."""
    with WorkerPool(workers=1, name="one") as pool:
        yield pool
