"""Sagas under SIGKILL, SIGSTOP and cancellation, with a ledger kept outside.

Processes that share one store write each effect of a step into a file, synced before the step goes
on, and another one into the store, in one transaction with the step's end. Steps fail, abort, take
too long and kill their own process by lot; processes are killed and stopped from outside. Then has
to hold, for each saga: it ended as its outcome says; what was written with `transact` is there
exactly once, in order; the ledger has every effect at least once; everything that may have happened
was undone in reverse, if it turned back; no step began twice under one fence.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import anyio

from penstock import Retry, Saga, SagaStore, saga

LEASE = 0.4
SAGAS = 60
STEPS = ("reserve", "pay", "tell", "book", "close")
PIVOT = "book"
AGAIN = Retry(attempts=3, delay=0.01, max_delay=0.02)
STUBBORN = Retry(attempts=1000, delay=0.01, max_delay=0.02)
PATIENT = 90.0


def lot_of(key: str, step: str) -> float:
    """What is decided for a step of a saga, whoever runs it and however often."""
    return random.Random(f"{key}/{step}").random()


def saga_of(ledger: int, rng: random.Random) -> Saga[str]:
    """Five steps, each undone by its compensation, the fourth a pivot."""
    made = Saga("chaos", context=str)

    def note(word: str, step: saga.CurrentStep) -> None:
        name = f"undo-{step.name}" if step.is_compensation else step.name
        os.write(ledger, f"{word} {step.key} {name} {step.fence} {step.attempt}\n".encode())
        os.fsync(ledger)

    def insert(transaction: Any, key: str, what: str) -> str:
        transaction.execute("INSERT INTO effect (key, what) VALUES (?, ?)", (key, what))
        _die(rng, 0.004)
        return what

    async def effect(what: str) -> str:
        step = saga.current()
        note("begin", step)
        _die(rng, 0.01)
        if rng.random() < 0.1:
            raise OSError("by lot")
        if rng.random() < 0.2:
            await anyio.sleep(rng.random() * 0.02)
        note("effect", step)
        return await step.transact(insert, step.key, what)

    def add(name: str) -> None:
        async def do(context: str) -> str:
            lot = lot_of(context, name)
            if lot < 0.06 and name != "close":
                raise saga.Abort("by its key")
            if 0.06 <= lot < 0.1 and saga.current().attempt == 1:
                await anyio.sleep_forever()  # until its timeout
            return await effect(name)

        async def undo(_context: str) -> None:
            await effect(f"undo-{name}")

        retry = STUBBORN if name in {PIVOT, "close"} else AGAIN
        made.add_step(
            name,
            do,
            compensate=undo,
            retry=retry,
            timeout=0.5,
            pivot=name == PIVOT,
            compensate_retry=STUBBORN,
        )

    for name in STEPS:
        add(name)
    return made


def _die(rng: random.Random, chance: float) -> None:
    if rng.random() < chance:
        os.kill(os.getpid(), signal.SIGKILL)


async def work(url: str, path: str, seed: int, first: int, count: int) -> None:
    """A process: starts its sagas, which others may have started before, and runs for ever."""
    rng = random.Random(seed)
    ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    made = saga_of(ledger, rng)
    while True:
        with anyio.move_on_after(0.5 + rng.random() * 2):
            options = {"lease": LEASE, "concurrency": rng.choice((2, 8, 64)), "max_crashes": 10_000}
            async with SagaStore.open(url, sagas=[made], **options) as store:
                for number in range(first, first + count):
                    await store.start(made, f"k{number}", key=f"k{number}")
                    os.write(ledger, f"started k{number}\n".encode())
                if rng.random() < 0.3:
                    continue  # drains
                await anyio.sleep_forever()


def run(seed: int, seconds: float) -> int:
    """Rounds until the time is up; how many sagas have ended. Raises AssertionError."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    ended = 0
    number = 0
    while not number or time.monotonic() < deadline:
        with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as folder:
            round_ = Round(Path(folder), random.Random(rng.getrandbits(64)))
            try:
                round_.run()
            finally:
                round_.end()
            ended += round_.check(f"seed {seed}, round {number}")
        number += 1
    return ended


class Round:
    """One file, three processes that die again and again."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.path = folder / "chaos.db"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        rng = self.rng
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE effect (key, what)")
        self.processes = [self.start(index) for index in range(3)]
        end = time.monotonic() + PATIENT
        while self.left(connection):
            assert time.monotonic() < end, f"stuck: {self.stuck(connection)}"
            for index, process in enumerate(self.processes):
                if process.poll() is not None:
                    assert process.returncode == -signal.SIGKILL, "a process failed"
                    self.processes[index] = self.start(index)
            if rng.random() < 0.05:
                self.disturb()
            time.sleep(0.01)  # the pace of disturbances; the processes need the processor
        connection.close()

    def left(self, connection: sqlite3.Connection) -> int:
        started = sum(line.startswith("started") for line in self._lines())
        if not started:
            return SAGAS
        (ended,) = connection.execute(
            "SELECT count(*) FROM penstock_saga WHERE state NOT IN ('running', 'compensating')"
        ).fetchone()
        return SAGAS - int(ended)

    def stuck(self, connection: sqlite3.Connection) -> list[Any]:
        return connection.execute(
            "SELECT * FROM penstock_saga WHERE state IN ('running', 'compensating')"
        ).fetchall()

    def start(self, index: int) -> subprocess.Popen[bytes]:
        share = SAGAS // 3
        backend = self.rng.choice(("asyncio", "trio"))
        seed = self.rng.getrandbits(32)
        arguments = (f"sqlite:///{self.path}", str(self.ledger), seed, index * share, share)
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                (
                    "import logging, anyio; from tests.chaos.saga import work; logging.disable();"
                    f"anyio.run(work, *{arguments!r}, backend={backend!r})"
                ),
            ],
            cwd=Path(__file__).parents[2],
        )

    def disturb(self) -> None:
        rng = self.rng
        victim = rng.choice(self.processes)
        lot = rng.random()
        try:
            if lot < 0.5:
                victim.kill()
                victim.wait()
            elif lot < 0.75:
                os.kill(victim.pid, signal.SIGSTOP)
            else:
                os.kill(victim.pid, signal.SIGCONT)
        except ProcessLookupError:
            return
        stopped = [each for each in self.processes if _is_stopped(each)]
        if len(stopped) > 1:  # One alone may hold the file's lock for as long as it is stopped.
            os.kill(stopped[0].pid, signal.SIGCONT)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _lines(self) -> list[str]:
        return self.ledger.read_text().splitlines()

    def check(self, where: str) -> int:
        begun: dict[tuple[str, ...], int] = defaultdict(int)
        noted: dict[str, list[str]] = defaultdict(list)
        for line in self._lines():
            word, key, *rest = line.split()
            if word == "begin":
                begun[key, *rest] += 1
            elif word == "effect":
                noted[key].append(rest[0])
        twice = [each for each, times in begun.items() if times > 1]
        assert not twice, f"{where}: begun again under one fence and attempt: {twice}"
        connection = sqlite3.connect(self.path)
        states = dict(connection.execute("SELECT key, state FROM penstock_saga"))
        kept: dict[str, list[str]] = defaultdict(list)
        for key, what in connection.execute("SELECT key, what FROM effect ORDER BY rowid"):
            kept[key].append(what)
        owned = connection.execute("SELECT key FROM penstock_saga WHERE owner IS NOT NULL")
        assert not owned.fetchall(), f"{where}: ended, and owned"
        connection.close()
        assert set(states) == {f"k{number}" for number in range(SAGAS)}, where
        for key, state in states.items():
            check_one(f"{where}, {key}, {state}", state, kept[key])
            assert set(kept[key]) <= set(noted[key]), f"{where}, {key}: {kept[key]}"
        return len(states)


def check_one(where: str, state: str, kept: list[str]) -> None:
    done = [what for what in kept if not what.startswith("undo-")]
    undone = [what.removeprefix("undo-") for what in kept if what.startswith("undo-")]
    assert done == list(STEPS[: len(done)]), f"{where}: done {done}"
    assert kept == done + [f"undo-{name}" for name in undone], f"{where}: mixed {kept}"
    if state == "completed":
        assert len(done) == len(STEPS), f"{where}: {kept}"
        assert not undone, f"{where}: {kept}"
        return
    assert state == "compensated", where
    assert len(done) < STEPS.index(PIVOT) + 1, f"{where}: turned back behind the pivot"
    # The step that failed is undone, too, if it may have happened.
    expected = list(reversed(STEPS[: len(done)]))
    assert undone in (expected, [STEPS[len(done)], *expected]), f"{where}: {kept}"


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    try:
        status = Path(f"/proc/{process.pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"
