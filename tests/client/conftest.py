"""A server that misbehaves, one for all tests of a module, and what it has counted."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest


class Remote:
    """The server, as a test sees it."""

    def __init__(self, port: int, control: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.origin = f"http://127.0.0.1:{port}"
        self._control = control

    def _ask(self, command: bytes) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self._control)) as connection:
            connection.sendall(command + b"\n")
            return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))

    def forget(self) -> None:
        self._ask(b"forget")

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self._ask(b"")["requests"]

    @property
    def open(self) -> int:
        return self._ask(b"")["open"]

    @property
    def opened(self) -> int:
        return self._ask(b"")["opened"]

    async def until(self, condition: Callable[[Remote], object]) -> None:
        """The server learns of ends a little later; the test's own limit ends it otherwise."""
        while not condition(self):  # noqa: ASYNC110 - it is in another process
            await anyio.sleep(0.005)


@pytest.fixture(scope="module")
def running():
    path = Path(__file__).with_name("server.py")
    with subprocess.Popen(
        [sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        ports = process.stdout.readline().split()
        yield Remote(*map(int, ports))
        process.stdin.close()


@pytest.fixture
def server(running):
    while running.open:  # it may learn of the last test's ends a little later
        time.sleep(0.005)
    running.forget()
    return running
