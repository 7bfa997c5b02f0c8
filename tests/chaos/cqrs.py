"""Commands that write rows and events in one unit of work, killed at every step and at random.

A nursery process forks children that execute transfers between accounts, keep a projection up and
rebuild it. Each child is killed with SIGKILL: before its n-th SQL statement for every n that a
command has, and a switch to rebuilt tables; right behind a commit; within a statement after so
many steps of SQLite's machine; or at some moment from outside, while several commands are under
way. After every death has to hold: the transfers in the business table are those in the event
log, in the same order, and those in the outbox; what was acknowledged is there; the projection's
tables are what the log gives up to its position. In the end the projection is caught up, and
rebuilt, and both times equals the table.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from penstock import Command, CommandBus, Outbox
from penstock.cqrs import EventLog, Projection, Sqlite, Transactional, UnitOfWork, View

ACCOUNTS = 5
BY_LOT = 5


@dataclass(frozen=True)
class Transfer(Command[int]):
    giver: int
    taker: int
    amount: int


@dataclass(frozen=True)
class Transferred:
    id: int
    giver: int
    taker: int
    amount: int


log = EventLog("bank")
outbox: Outbox[Any] = Outbox("bank")


def make_tables(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
        connection.execute(
            "CREATE TABLE transfer (id INTEGER PRIMARY KEY, giver, taker, amount INTEGER)"
        )
        connection.executemany(
            "INSERT INTO account VALUES (?, 0)", [(number,) for number in range(ACCOUNTS)]
        )
        outbox.create_tables(connection)
        log.create_tables(connection)
        balances(Sqlite(path)).create_tables(connection)


def balances(units: Sqlite) -> Projection:
    projection = Projection(
        "balances",
        log,
        units,
        tables={"balances": "id INTEGER PRIMARY KEY, balance INTEGER NOT NULL"},
        batch=5,
    )

    @projection.on(Transferred)
    def transferred(view: View, event: Transferred) -> None:
        for account, amount in ((event.giver, -event.amount), (event.taker, event.amount)):
            view.execute(
                "INSERT INTO {balances} VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET balance = balance + excluded.balance",
                (account, amount),
            )

    return projection


async def transfer(command: Transfer, unit: UnitOfWork[sqlite3.Connection]) -> int:
    # The two halves are apart, and in between the loop may go elsewhere.
    execute = unit.connection.execute
    found = execute(
        "INSERT INTO transfer (giver, taker, amount) VALUES (?, ?, ?) RETURNING id",
        (command.giver, command.taker, command.amount),
    ).fetchall()
    number: int = found[0][0]
    move = "UPDATE account SET balance = balance + ? WHERE id = ?"
    execute(move, (-command.amount, command.giver))
    await anyio.lowlevel.checkpoint()
    unit.append(Transferred(number, command.giver, command.taker, command.amount))
    await anyio.lowlevel.checkpoint()
    await unit.run(lambda connection: connection.execute(move, (command.amount, command.taker)))
    return number


# -- in a child --------------------------------------------------------------------------------


class Fate:
    """Kills its own process at the n-th statement, or the n-th sign of life within statements."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.left = order.get("at", -1)
        self.how = order["how"]

    def step(self, statement: str = "", /) -> int:
        if self.how == "switching" and "DROP TABLE IF EXISTS" not in statement:
            return 0
        self.how = "counting" if self.how == "switching" else self.how
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def connect(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=30.0
        )
        if self.how in {"statement", "rebuilding", "switching"}:
            connection.set_trace_callback(self.step)
        elif self.how == "within":
            connection.set_progress_handler(self.step, 3)
        return connection


async def live(path: str, ledger: int, order: dict[str, Any]) -> None:
    rng = random.Random(order["seed"])
    fate = Fate(order)
    async with Sqlite(lambda: fate.connect(path), outbox=outbox, log=log) as units:
        commands = CommandBus("bank").use(Transactional(units))
        commands.register(Transfer, transfer)
        projection = balances(units)

        async def send() -> None:
            giver, taker = rng.sample(range(ACCOUNTS), 2)
            number = await commands.execute(Transfer(giver, taker, rng.randrange(1, 100)))
            if fate.how == "behind":
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(ledger, f"{number}\n".encode())

        if fate.how != "outside":
            await send()
            if fate.how != "switching":  # what is switched to is ahead of what is switched from
                await projection.catch_up()
            if fate.how != "statement":  # it has a few for each event there ever was
                await projection.rebuild()
            return
        while True:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(send)
                tasks.start_soon(projection.catch_up)
            if rng.random() < 0.2:
                await projection.rebuild()


def nursery(path: str, ledger_path: str) -> None:
    """Reads orders from its input, forks a child for each, and says how it ended."""
    ledger = os.open(ledger_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            try:
                anyio.run(live, path, ledger, order, backend=order["backend"])
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        if order["how"] == "outside":
            time.sleep(order["after"])  # the moment of its death
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


# -- outside -----------------------------------------------------------------------------------


def run(seed: int, seconds: float) -> int:
    """Rounds until the time is up; how many children were killed. Raises AssertionError."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    killed = number = 0
    while not number or time.monotonic() < deadline:
        with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as folder:
            killed += Round(Path(folder), rng, f"seed {seed}, round {number}").run()
        number += 1
    return killed


class Round:
    """One file, and some dozens of deaths."""

    def __init__(self, folder: Path, rng: random.Random, where: str) -> None:
        self.path = folder / "bank.db"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.rng = rng
        self.where = where
        self.killed = 0

    def run(self) -> int:
        make_tables(self.path)
        backend = self.rng.choice(("asyncio", "trio"))
        code = "import sys, trio; from tests.chaos.cqrs import nursery; nursery(*sys.argv[1:])"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(self.path), str(self.ledger)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        ) as process:
            at, code = 0, -1
            while code:  # until a child has lived through all of its statements
                at += 1
                code = self.give(process, {"how": "statement", "at": at}, backend)
            assert at > 15, f"{self.where}: a child had only {at} statements"
            for at in range(1, 7):
                self.give(process, {"how": "switching", "at": at}, backend)
            for order in self.orders():
                self.give(process, order, backend)
            assert process.stdin is not None
            process.stdin.close()
        anyio.run(self.end)
        return self.killed

    def give(self, process: subprocess.Popen[str], order: dict[str, Any], backend: str) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        given = {**order, "backend": backend, "seed": self.rng.getrandbits(32)}
        print(json.dumps(given), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        assert code in (0, -signal.SIGKILL), f"{self.where}, {order}: a child failed"
        self.killed += code != 0
        self.check(f"{self.where}, {order}")
        return code

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(BY_LOT):
            found += (
                {"how": "rebuilding", "at": self.rng.randrange(20, 250)},
                {"how": "within", "at": self.rng.randrange(1, 400)},
                {"how": "outside", "after": self.rng.random() * 0.15},
            )
        return [*found, {"how": "behind"}]

    def check(self, where: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            rows = connection.execute("SELECT * FROM transfer ORDER BY id").fetchall()
            logged = [
                tuple(log.codec.decode(each.payload)[name] for name in ORDER)
                for each in log.iter(connection)
            ]
            assert logged == rows, f"{where}: rows and events differ"
            outgoing = connection.execute(
                "SELECT payload FROM penstock_outbox_event ORDER BY seq"
            ).fetchall()
            sent = [tuple(json.loads(each)[name] for name in ORDER) for (each,) in outgoing]
            assert sent == rows, f"{where}: rows and outbox differ"
            kept = dict(connection.execute("SELECT id, balance FROM account"))
            assert kept == {**dict.fromkeys(range(ACCOUNTS), 0), **folded(rows)}, where
            (position,) = connection.execute(
                "SELECT position FROM penstock_projection WHERE name = 'balances'"
            ).fetchone()
            read = dict(connection.execute("SELECT id, balance FROM balances"))
            assert read == folded(rows[:position]), f"{where}: the projection at {position}"
            acknowledged = set(map(int, self.ledger.read_text().split()))
            assert acknowledged <= {row[0] for row in rows}, f"{where}: acknowledged and lost"

    async def end(self) -> None:
        async with Sqlite(self.path) as units:
            projection = balances(units)
            await projection.catch_up()
            self.compare("caught up")
            await projection.rebuild()
            self.compare("rebuilt")

    def compare(self, what: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            table = dict(connection.execute("SELECT id, balance FROM account"))
            read = dict(connection.execute("SELECT id, balance FROM balances"))
            assert {**dict.fromkeys(table, 0), **read} == table, f"{self.where}: {what}"
            if what == "caught up":
                return
            names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'balances%'"
            assert connection.execute(names).fetchall() == [("balances",)], self.where


ORDER = ("id", "giver", "taker", "amount")


def folded(rows: list[tuple[int, ...]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for _, giver, taker, amount in rows:
        found[giver] = found.get(giver, 0) - amount
        found[taker] = found.get(taker, 0) + amount
    return found
