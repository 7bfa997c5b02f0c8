"""A redis-server for one contender, on a free port, which keeps nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

from benches.refusal import Refusal


@contextmanager
def redis_server() -> Iterator[str]:
    """Its address, once it answers."""
    program = shutil.which("redis-server")
    if program is None:
        raise Refusal("there is no redis-server", hint="apt-get install redis-server")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                if process.poll() is not None:
                    raise Refusal(f"redis-server ended with {process.returncode}")
                sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@contextmanager
def machine(name: str) -> Iterator[None]:
    """Processes started in here are a machine of their own."""
    before = os.environ.get("PENSTOCK_MACHINE")
    os.environ["PENSTOCK_MACHINE"] = name
    try:
        yield
    finally:
        del os.environ["PENSTOCK_MACHINE"]
        if before is not None:
            os.environ["PENSTOCK_MACHINE"] = before
