"""Queues and handles that are closed when a test has ended, and the program that takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import SharedQueue
from tests.capi.interface import Handle, lib
from tests.capi.programs import compiled


@pytest.fixture
def attach() -> Iterator[Callable[[SharedQueue[Any]], Handle]]:
    """Handles to queues, by their descriptor."""
    opened: list[Handle] = []

    def attach(queue: SharedQueue[Any]) -> Handle:
        handle = Handle.attach(queue.fileno())
        opened.append(handle)
        return handle

    yield attach
    for handle in opened:
        assert lib.penstock_close(handle.queue) in {lib.PENSTOCK_OK, lib.PENSTOCK_CLOSED}


@pytest.fixture
def queue() -> Iterator[SharedQueue[Any]]:
    queue: SharedQueue[Any] = SharedQueue(max_bytes=1 << 20)
    yield queue
    queue.close()


@pytest.fixture
def handle(queue: SharedQueue[Any], attach: Callable[[SharedQueue[Any]], Handle]) -> Handle:
    return attach(queue)


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of peer.c."""
    return compiled(Path(__file__).with_name("peer.c"), tmp_path_factory.mktemp("peer"))
