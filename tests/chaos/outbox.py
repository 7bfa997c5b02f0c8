"""Outboxes under SIGKILL, SIGSTOP, cancellation and rollbacks, with ledgers kept outside.

A process writes orders and events, and rolls back by lot. Relays in processes of their own fail by
lot, are cancelled, stopped and killed, some of them right between publishing and writing that down.
One kind publishes by a function that appends to a ledger with key and fence, the other kind into a
message queue. The ledgers then have to show: exactly what was committed was published; the queue
holds each event once, in the order of its key; and what an outside system accepts of the function's
calls, which refuses a fence lower than one it has seen for the key, misses nothing, and repeats a
key only from an event that was not written down yet.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import anyio

from penstock import Message, MessageQueue, Outbox
from tests.chaos.messages import _is_stopped

LEASE = 0.4
EVENTS = 200
KEYS = 5
KINDS = ("function", "queue")

_RELAY = """
import logging, os, random, sys
import anyio
from tests.chaos.outbox import LEASE
from penstock import MessageQueue, Outbox, Relay, Retry

logging.disable()  # each failure would be a line on the terminal
url, target, kind, backend, rng = *sys.argv[1:5], random.Random(int(sys.argv[5]))
queue = MessageQueue("events", target if kind == "queue" else "memory://")
file = None if kind == "queue" else os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def die_by_lot(chance):
    if rng.random() < chance:
        os.kill(os.getpid(), 9)


async def publish(event):
    if rng.random() < 0.1:
        raise OSError("by lot")
    if rng.random() < 0.2:
        await anyio.sleep(rng.random() * 0.02)
    if not event.is_fenced:
        os.write(file, f"{event.key} {event.data} {event.fence}\\n".encode())
    die_by_lot(0.01)


class Dying:
    codec, open, close = queue.codec, queue.open, queue.close

    async def forward(self, messages):
        await queue.forward(messages)
        die_by_lot(0.1)


async def main():
    to = publish if kind == "function" else Dying()
    retry = Retry(attempts=2, delay=0.005, max_delay=0.02)
    while True:
        with anyio.move_on_after(rng.random()):
            await Relay(
                Outbox(kind), url, to, lease=LEASE, retry=retry, max_items=20, concurrency=3
            ).run()


anyio.run(main, backend=backend)
"""


def run(seed: int, seconds: float) -> int:
    """Rounds until the time is up; how many events went through. Raises AssertionError."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    published = 0
    number = 0
    while not number or time.monotonic() < deadline:
        with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as folder:
            round_ = Round(Path(folder), random.Random(rng.getrandbits(64)))
            try:
                round_.run()
            finally:
                round_.end()
            published += round_.check(f"seed {seed}, round {number}")
        number += 1
    return published


class Round:
    """One file with two outboxes, two relays for each that die again and again, one writer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.path = folder / "orders.db"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        same = rng.random() < 0.5
        self.queue = f"sqlite:///{self.path}" if same else f"sqlite:///{folder}/jobs.db"
        self.relays: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.committed: dict[str, list[int]] = {kind: [] for kind in KINDS}

    def run(self) -> None:
        rng = self.rng
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0.5)
        outboxes = {kind: Outbox[int](kind) for kind in KINDS}
        for outbox in outboxes.values():
            outbox.create_tables(connection)  # before anybody else is here
        self.relays = [self.start(kind) for kind in KINDS * 2]
        number = 0
        while sum(map(len, self.committed.values())) < EVENTS:
            number += 1
            kind = rng.choice(KINDS)
            self.begin(connection)
            outboxes[kind].add(connection, topic="t", key=f"k{number % KEYS}", payload=number)
            if rng.random() < 0.02:
                time.sleep(rng.random() * LEASE)  # the transaction stays open for a while
            if rng.random() < 0.1:
                connection.execute("ROLLBACK")
                continue
            connection.execute("COMMIT")
            self.committed[kind].append(number)
            if number % 10 == 0:
                self.disturb()
        end = time.monotonic() + 40
        query = "SELECT count(*) FROM penstock_outbox_event"
        while left := connection.execute(query).fetchone()[0]:
            assert time.monotonic() < end, f"stuck with {left} events"
            self.disturb(kill=0.02)
            time.sleep(0.01)  # the pace of disturbances; the relays need the processor
        connection.close()

    def begin(self, connection: sqlite3.Connection) -> None:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                # Whoever was stopped in the middle of a commit keeps all others from writing.
                for _, relay in self.relays:
                    relay.send_signal(signal.SIGCONT)
            else:
                return

    def start(self, kind: str) -> tuple[str, subprocess.Popen[bytes]]:
        backend = self.rng.choice(("asyncio", "trio"))
        target = str(self.ledger) if kind == "function" else self.queue
        url, seed = f"sqlite:///{self.path}", str(self.rng.getrandbits(32))
        arguments = [sys.executable, "-c", _RELAY, url, target, kind, backend, seed]
        return kind, subprocess.Popen(arguments, cwd=Path(__file__).parents[2])

    def disturb(self, kill: float = 1.0) -> None:
        rng = self.rng
        for index, (kind, relay) in enumerate(self.relays):
            if relay.poll() is not None:
                self.relays[index] = self.start(kind)
        if rng.random() >= kill:
            return
        index = rng.randrange(len(self.relays))
        kind, victim = self.relays[index]
        if rng.random() < 0.5:
            victim.kill()
            victim.wait()
            self.relays[index] = self.start(kind)
        elif rng.random() < 0.5:
            victim.send_signal(signal.SIGSTOP)
        else:
            victim.send_signal(signal.SIGCONT)
        stopped = [each for _, each in self.relays if each.poll() is None and _is_stopped(each.pid)]
        for each in stopped[: max(0, len(stopped) - 1)]:  # somebody of each kind goes on
            each.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for _, relay in self.relays:
            relay.kill()
            relay.wait()

    def check(self, where: str) -> int:
        self.check_function(where)
        self.check_queue(where)
        return sum(map(len, self.committed.values()))

    def check_function(self, where: str) -> None:
        highest: dict[str, int] = defaultdict(int)
        order: dict[str, list[int]] = defaultdict(list)
        for line in self.ledger.read_text().splitlines():
            key, number, fence = line.split()
            if int(fence) >= highest[key]:
                highest[key] = int(fence)
                order[key].append(int(number))
        committed = by_key(self.committed["function"])
        for key, numbers in committed.items():
            first = list(dict.fromkeys(order[key]))
            assert first == numbers, f"{where}: {key} was published as {first}, not {numbers}"
        assert set(order) <= set(committed), f"{where}: what was rolled back was published"

    def check_queue(self, where: str) -> None:
        got: dict[str, list[int]] = defaultdict(list)

        async def handle(message: Message[int]) -> None:
            got[str(message.key)].append(message.data)

        async def take_all() -> None:
            async with MessageQueue[int]("events", self.queue) as queue, queue.consumer(handle):
                while (await queue.statistics()).depth:
                    await anyio.lowlevel.checkpoint()

        anyio.run(take_all)
        committed = by_key(self.committed["queue"])
        assert got == committed, f"{where}: the queue held {dict(got)}, not {committed}"


def by_key(numbers: list[int]) -> dict[str, list[int]]:
    order: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        order[f"k{number % KEYS}"].append(number)
    return dict(order)
