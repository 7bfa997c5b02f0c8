"""What the tests of sagas share: stores, a clock by hand, programs in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from penstock import SagaStore
from penstock.saga import SagaRecord


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
def path(tmp_path: Path) -> Path:
    return tmp_path / "trips.db"


@pytest.fixture
def file(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, file: str) -> str:
    return "memory://" if request.param == "memory" else file


@pytest.fixture
def until() -> Callable[..., Awaitable[SagaRecord]]:
    """Asks for a saga, which takes a round trip each, until it is as wanted."""

    async def until(store: SagaStore, saga: str, key: str, **wanted: object) -> SagaRecord:
        while True:
            found = await store.get(saga, key)
            if found is not None and all(
                getattr(found, name) == value for name, value in wanted.items()
            ):
                return found
            await anyio.lowlevel.checkpoint()

    return until


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program with arguments; whatever still runs in the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
