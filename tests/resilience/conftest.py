"""Names for tables that no other test has; machines, and a Redis between them."""

import itertools
import os

import pytest

from .machines import Machine, Server

_numbers = itertools.count()


@pytest.fixture
def table_name():
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def redis_server(tmp_path):
    server = Server(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def machines():
    """Starts machines by name; they end with the test."""
    started = []

    def start(*names):
        new = [Machine(name) for name in names]
        started.extend(new)
        return new

    yield start
    for machine in started:
        machine.close()
