"""What the tests of units of work share: a file with business rows, an outbox and a log in it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock import Command, CommandBus, Outbox
from penstock.cqrs import EventLog, Sqlite, Transactional, UnitOfWork


@dataclass(frozen=True)
class Open(Command[int]):
    number: int
    amount: int = 0


@dataclass(frozen=True)
class Opened:
    topic = "account.opened"
    number: int
    amount: int

    @property
    def key(self) -> str:
        return str(self.number)


class Bank:
    """Accounts, and commands that open them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outbox: Outbox[Any] = Outbox("bank")
        self.log = EventLog("bank")
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE account (number INTEGER PRIMARY KEY, amount)")
        self.outbox.create_tables(self.connection)
        self.log.create_tables(self.connection)
        self.units = Sqlite(path, outbox=self.outbox, log=self.log)
        self.commands = CommandBus("bank")
        self.transactional = Transactional(self.units)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.connection.execute("SELECT number, amount FROM account").fetchall()

    def outgoing(self) -> int:
        query = "SELECT count(*) FROM penstock_outbox_event"
        return int(self.connection.execute(query).fetchone()[0])

    def logged(self) -> list[int]:
        return [each.seq for each in self.log.iter(self.connection)]


async def open_account(command: Open, unit: UnitOfWork[sqlite3.Connection]) -> int:
    row = (command.number, command.amount)
    unit.connection.execute("INSERT INTO account VALUES (?, ?)", row)
    unit.append(Opened(*row))
    return command.number


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    bank = Bank(tmp_path / "bank.db")
    async with bank.units:
        yield bank
    bank.connection.close()
