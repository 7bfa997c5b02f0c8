"""SIGTERM under load, with a real server: what was acknowledged is there, and exit code 0."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import httpx2
import pytest

CONNECTIONS = 6


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.asgi.shop", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def client_of(folder: Path) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(folder / "socket"))
    return httpx2.AsyncClient(transport=transport, base_url="http://shop", timeout=30)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said on standard error: nothing, if all went well."""
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, err


def rows(folder: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / "shop.db")) as database:
        return database.execute(sql).fetchall()


class Load:
    """Orders from several connections, until the server takes no more."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()

    async def run(self, process: subprocess.Popen[str], enough: int) -> None:
        """SIGTERM comes when so many have been acknowledged, and others are under way."""
        async with anyio.create_task_group() as group:
            for number in range(CONNECTIONS):
                group.start_soon(self._connection, number)
            while len(self.acknowledged) < enough:
                assert process.poll() is None, process.communicate()
                await anyio.sleep(0.005)
            process.send_signal(signal.SIGTERM)

    async def _connection(self, connection: int) -> None:
        async with client_of(self.folder) as client:
            for n in range(100_000):
                key = f"{self.prefix}-{connection}-{n}"
                try:
                    response = await client.post(f"/orders/{key}")
                except httpx2.TransportError:
                    return  # it listens no more
                self.statuses.add(response.status_code)
                if response.status_code == 200:
                    self.acknowledged.append(key)


async def until_it_answers(folder: Path, process: subprocess.Popen[str]) -> None:
    async with client_of(folder) as client:
        while True:
            assert process.poll() is None, process.communicate()
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                await anyio.sleep(0.01)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # of the load; the server's is a parameter


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_under_load_drains_and_loses_nothing(loop: str, tmp_path: Path):
    acknowledged: list[str] = []
    for round_ in range(2):
        process = start(tmp_path, loop)
        try:
            await until_it_answers(tmp_path, process)
            load = Load(tmp_path, f"r{round_}")
            await load.run(process, enough=40)
        finally:
            code, err = ended(process)
        assert (code, err) == (0, "")
        assert load.statuses <= {200, 503}
        acknowledged += load.acknowledged
        # Every saga that was begun has ended, also of those whose answer did not arrive.
        assert rows(tmp_path, "SELECT DISTINCT state FROM penstock_saga") == [("completed",)]
        placed = {number for (number,) in rows(tmp_path, "SELECT number FROM orders")}
        assert set(acknowledged) <= placed
        assert len(rows(tmp_path, "SELECT 1 FROM penstock_saga")) == len(placed)
    code, err = ended(start(tmp_path, loop, "settle"))
    assert (code, err) == (0, "")
    assert_delivered(tmp_path, acknowledged)


def assert_delivered(folder: Path, acknowledged: list[str]) -> None:
    placed = [number for (number,) in rows(folder, "SELECT number FROM orders")]
    delivered = [number for (number,) in rows(folder, "SELECT number FROM delivered")]
    assert set(acknowledged) <= set(placed)
    assert len(placed) == len(set(placed))
    assert sorted(delivered) == sorted(placed), "each once: nobody was killed"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_part_that_does_not_start_ends_those_before_it_and_the_server(loop: str, tmp_path: Path):
    process = start(tmp_path, loop, "broken")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3  # uvicorn's, for an application that did not start
    assert "part 'broken' of service 'shop' did not start: OSError: no such disk" in err
    assert out.splitlines() == ["open one", "open two", "close two", "close one"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_a_signal_drains_a_program_without_a_server_as_well(loop: str, tmp_path: Path):
    process = start(tmp_path, loop, "busy")
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().rstrip() for _ in range(40)]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    acknowledged += out.split()
    assert rows(tmp_path, "SELECT DISTINCT state FROM penstock_saga") == [("completed",)]
    assert ended(start(tmp_path, loop, "settle")) == (0, "")
    assert_delivered(tmp_path, acknowledged)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("loop", ["trio"])
async def test_what_was_left_by_a_kill_is_settled_by_the_next_start(loop: str, tmp_path: Path):
    """The same accounting after SIGKILL, where something is left: the test can tell."""
    process = start(tmp_path, "asyncio")
    try:
        await until_it_answers(tmp_path, process)
        load = Load(tmp_path, "k")
        async with anyio.create_task_group() as group:
            for number in range(CONNECTIONS):
                group.start_soon(load._connection, number)
            while len(load.acknowledged) < 40:  # noqa: ASYNC110 - by another process
                await anyio.sleep(0.005)
            process.kill()
    finally:
        ended(process)
    assert rows(tmp_path, "SELECT DISTINCT state FROM penstock_saga") != [("completed",)]
    code, err = ended(start(tmp_path, loop, "settle"))
    assert (code, err) == (0, "")
    assert rows(tmp_path, "SELECT DISTINCT state FROM penstock_saga") == [("completed",)]
    placed = {number for (number,) in rows(tmp_path, "SELECT number FROM orders")}
    delivered = {number for (number,) in rows(tmp_path, "SELECT number FROM delivered")}
    assert set(load.acknowledged) <= placed
    assert placed == delivered
