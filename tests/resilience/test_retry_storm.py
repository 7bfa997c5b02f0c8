"""A dead dependency behind three services with three attempts each, in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .storm import Down, ask

ROOT = Path(__file__).parents[2]
WORKERS = 2


class Dead:
    """The dependency: counts who asks, and is down."""

    def __init__(self) -> None:
        self.calls = 0

    async def handle(self, _reader, writer) -> None:
        self.calls += 1
        writer.write(b"down\n")
        writer.close()


@contextlib.contextmanager
def chain(name: str, ratio: str, port: int):
    """Three services before `port`, two workers each; the ports of the first."""
    workers: list[subprocess.Popen[str]] = []
    ports = [port]
    try:
        for hop in ("c", "b", "a"):
            command = [sys.executable, "-m", "tests.resilience.storm", f"{name}-{hop}", ratio]
            command += map(str, ports)
            own = [
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                for _ in range(WORKERS)
            ]
            workers += own
            ports = [int(each.stdout.readline()) for each in own]
        yield ports
    finally:
        for each in workers:
            each.stdin.close()
        for each in workers:
            each.wait(20)
            each.stdout.close()


async def load(name: str, ratio: str, offered: int) -> float:
    """Calls that reach the dependency for each that was offered."""
    dead = Dead()
    async with await asyncio.start_server(dead.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            ports = await loop.run_in_executor(None, enter, chain(name, ratio, port))

            async def caller(number: int) -> None:
                for _ in range(offered // 10):
                    with pytest.raises(Down):
                        await ask(ports[number % WORKERS])

            await asyncio.gather(*(caller(number) for number in range(10)))
            await loop.run_in_executor(None, stack.close)
    return dead.calls / offered


def test_a_dead_dependency_is_not_buried_in_retries():
    name = f"storm-{os.getpid()}"
    without = asyncio.run(load(f"{name}-without", "none", 20))
    within = asyncio.run(load(f"{name}-within", "0.06", 400))
    assert without == 27.0
    # Each service adds 6 % at most, and together they stay below a fifth: 1.06³ is 1.19.
    assert 1.1 < within <= 1.2
