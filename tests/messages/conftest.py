"""What the tests of message queues share: stores, a clock by hand, waiting without sleeping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import MessageQueue
from penstock.messages import MessageStatistics


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, file: str) -> str:
    return "memory://" if request.param == "memory" else file


@pytest.fixture
def until() -> Callable[..., Awaitable[MessageStatistics]]:
    """Asks for the statistics, which takes a round trip each, until they are as wanted."""

    async def until(queue: MessageQueue[Any], **wanted: int) -> MessageStatistics:
        while True:
            found = await queue.statistics()
            if all(getattr(found, name) == value for name, value in wanted.items()):
                return found

    return until
