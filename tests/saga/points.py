"""A saga whose processes kill themselves at named points. As a program, it forks such processes.

`python -m tests.saga.points` reads lines of JSON, [url, ledger, point, lease] or the same with a
context to start saga k with; for each it forks a process and prints its pid. It has opened nothing
itself, so its children begin like new processes, without the time that takes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import anyio
import anyio.lowlevel

from penstock import Saga, SagaStore, saga


class Ledger:
    """What steps have done, outside of the store, on the disk before they go on."""

    def __init__(self, path, point):
        self.path, self.point = path, point
        self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def note(self, *words):
        os.write(self.file, (" ".join(map(str, words)) + "\n").encode())
        os.fsync(self.file)

    def at(self, here):
        """Dies here, if this is the point, and nobody has died at it before."""
        if here == self.point and f"died at {here}" not in Path(self.path).read_text():
            self.note(f"died at {here}")
            os.kill(os.getpid(), signal.SIGKILL)


def booking_of(ledger):
    """Steps a, b, c, each with an effect in the ledger and one in the store."""
    booking = Saga("book")

    def insert(transaction, what):
        transaction.execute("INSERT INTO effect (what) VALUES (?)", (what,))
        ledger.at(f"inside {what}")

    def add(name):
        async def do(context):
            step = saga.current()
            ledger.at(f"before {name}")
            ledger.note("did", name, step.fence)
            if name == "c" and context == "turns back":
                raise saga.Abort("no")
            ledger.at(f"between {name}")
            await step.transact(insert, name)
            ledger.at(f"after {name}")

        async def undo(context):
            step = saga.current()
            ledger.at(f"before undo-{name}")
            ledger.note("undid", name, step.fence)
            await step.transact(insert, f"undo-{name}")
            ledger.at(f"after undo-{name}")

        booking.add_step(name, do, compensate=undo)

    for name in "abc":
        add(name)
    return booking


async def live(url, ledger, point, lease, context=None):
    ledger = Ledger(ledger, point)
    booking = booking_of(ledger)
    async with SagaStore.open(url, sagas=[booking], lease=lease) as store:
        await store.transact(
            lambda transaction: transaction.execute(
                "CREATE TABLE IF NOT EXISTS effect (what)"
            ).close()
        )
        await store.recover()
        if context is not None:
            await store.start(booking, context, key="k")
        ledger.note("ready")
        await anyio.sleep_forever()


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            anyio.run(live, *json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
