"""Across processes: SIGKILL at any moment, SIGSTOP, two relays, another one's commits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from penstock import Message, MessageQueue

PUBLISHER = """
    import os, sys, anyio
    from penstock import Outbox, Relay

    ledger = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    lease, hold = float(sys.argv[3]), sys.argv[4]


    async def publish(event):
        os.write(ledger, f"{event.key} {event.data} {event.fence}\\n".encode())
        if hold == "hold":
            print(event.data, flush=True)
            await anyio.sleep_forever()
        if hold == "stop":
            print(event.data, flush=True)
            os.kill(os.getpid(), 19)
            print(int(event.is_fenced), flush=True)
        await anyio.lowlevel.checkpoint()


    async def main():
        await Relay(Outbox("orders"), sys.argv[1], publish, lease=lease, concurrency=4).run()


    anyio.run(main)
"""
FORWARDER = """
    import os, random, sys, anyio
    from penstock import MessageQueue, Outbox, Relay

    queue = MessageQueue("orders", sys.argv[2])
    rng = random.Random(int(sys.argv[4]))


    class Dying:
        codec, open, close = queue.codec, queue.open, queue.close

        async def forward(self, messages):
            await queue.forward(messages)
            if rng.random() < 0.2:
                os.kill(os.getpid(), 9)  # published, and nobody has written that down


    relay = Relay(Outbox("orders"), sys.argv[1], Dying(), lease=float(sys.argv[3]), max_items=7)
    anyio.run(relay.run)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


async def number_of(process: subprocess.Popen[str]) -> int:
    return int(await anyio.to_thread.run_sync(process.stdout.readline))


def published(ledger: Path) -> dict[str, list[int]]:
    order: dict[str, list[int]] = defaultdict(list)
    for line in ledger.read_text().splitlines() if ledger.exists() else []:
        key, number, _fence = line.split()
        order[key].append(int(number))
    return order


async def test_a_killed_relay_is_taken_over_after_its_lease(book, ledger, start, tmp_path, until):
    book.add(0, 1, key="k")
    first = start(PUBLISHER, book.url, tmp_path / "ledger", 300.0, "hold")
    assert await number_of(first) == 0
    async with book.relay(ledger, lease=300.0) as relay:
        for kill in (False, True):
            if kill:
                first.kill()
                first.wait()
            for _ in range(20):
                assert not (await relay.statistics()).is_active
        assert ledger.data == []
        # As its time would.
        book.connection.execute("UPDATE penstock_outbox SET until = 0")
        await until(relay, backlog=0, is_active=True)
    assert ledger.data == [0, 1]
    assert [event.fence for event in ledger.events] == [2, 2]


async def test_a_stopped_relay_is_fenced_when_it_goes_on(book, ledger, start, tmp_path, until):
    """What it publishes from then on it does not write down; what the other one does stands."""
    book.add(0, key="k")
    zombie = start(PUBLISHER, book.url, tmp_path / "ledger", 1.0, "stop")
    assert await number_of(zombie) == 0
    begun, go = anyio.Event(), anyio.Event()

    async def publish(event: object) -> None:
        begun.set()
        await go.wait()
        await ledger(event)

    async with book.relay(publish, lease=300.0) as relay:
        await begun.wait()
        zombie.send_signal(signal.SIGCONT)
        assert await number_of(zombie) == 1, "it finds itself fenced"
        for _ in range(20):
            assert (await relay.statistics()).backlog == 1, "its return changed nothing"
        book.add(1, key="k")
        go.set()
        await until(relay, backlog=0)
    assert ledger.data == [0, 1]
    assert published(tmp_path / "ledger")["k"] == [0], "and it begins nothing more"


def test_killed_at_random_moments_a_function_misses_nothing(book, start, tmp_path):
    rng = random.Random(1)
    path = tmp_path / "ledger"
    total, added, kills = 300, 0, 0
    process = start(PUBLISHER, book.url, path, 0.3, "go")
    while added < total or book.backlog():
        if added < total:
            book.add(added, key=f"k{added % 5}")
            added += 1
        else:
            time.sleep(0.01)
        # So often that few of them end in peace, and not for ever.
        if kills < 20 and rng.random() < 0.02:
            kills += 1
            time.sleep(rng.random() * 0.5)  # it may have its lease by then, or be at work
            process.kill()
            process.wait()
            process = start(PUBLISHER, book.url, path, 0.3, "go")
    order = published(path)
    for key in range(5):
        first = list(dict.fromkeys(order[f"k{key}"]))
        assert first == list(range(key, total, 5)), "none is lost, and none overtakes"


@pytest.mark.parametrize("where", ["same", "other"])
def test_killed_at_random_moments_a_queue_holds_each_event_once(book, start, tmp_path, where):
    """Two relays at once, which die right after publishing, by lot, or are killed at any moment."""
    rng = random.Random(where)
    target = book.url if where == "same" else f"sqlite:///{tmp_path}/jobs.db"
    total, added, ids = 200, 0, []
    deaths = 0

    def begin() -> subprocess.Popen[str]:
        return start(FORWARDER, book.url, target, 0.3, rng.getrandbits(32))

    processes = [begin() for _ in range(2)]
    while added < total or book.backlog() or deaths <= 2:
        if added < total and book.backlog() < 60:
            ids += book.add(added, key=f"k{added % 5}")
            added += 1
        else:
            time.sleep(0.01)
        for index, process in enumerate(processes):
            if rng.random() < 0.005:
                process.kill()
                process.wait()
            if process.poll() is not None:
                deaths += 1
                processes[index] = begin()
    for process in processes:
        process.kill()
        process.wait()
    got: list[tuple[str, int, str]] = []

    async def handle(message: Message[int]) -> None:
        got.append((message.key, message.data, message.id))

    async def take_all() -> None:
        async with MessageQueue[int]("orders", target) as queue:
            assert (await queue.statistics()).depth == total
            async with queue.consumer(handle):
                while (await queue.statistics()).depth:
                    await anyio.lowlevel.checkpoint()

    anyio.run(take_all)
    assert sorted(found for _, _, found in got) == sorted(ids)
    for key in range(5):
        assert [n for k, n, _ in got if k == f"k{key}"] == list(range(key, total, 5))


async def test_commits_of_another_process_are_published(book, ledger, start, until):
    program = """
        import sqlite3, sys
        from penstock import Outbox
        connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
        for number in range(50):
            connection.execute("BEGIN IMMEDIATE")
            Outbox("orders").add(connection, topic="placed", key="k", payload=number)
            connection.execute("ROLLBACK" if number % 5 == 4 else "COMMIT")
    """
    async with book.relay(ledger) as relay:
        other = start(program, book.path)
        assert await anyio.to_thread.run_sync(other.wait) == 0
        await until(relay, backlog=0)
    assert ledger.data == [number for number in range(50) if number % 5 != 4]


async def test_an_exit_without_draining_neither_hangs_nor_complains(book, start, tmp_path):
    book.add(0, key="k")
    process = start(PUBLISHER, book.url, tmp_path / "ledger", 5.0, "hold")
    assert await number_of(process) == 0
    os.kill(process.pid, signal.SIGTERM)
    assert await anyio.to_thread.run_sync(process.wait) == -signal.SIGTERM
    assert book.backlog() == 1
