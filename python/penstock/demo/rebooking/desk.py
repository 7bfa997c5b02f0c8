"""The refund desk: a process of its own that pays, and that is asked again when in doubt.

    python -m penstock.demo.rebooking.desk --socket PATH --ledger PATH --seed N

One JSON line for each request, one for each answer, over a unix socket, in any number at a time:

    {"id": 7, "kind": "refund" | "reversal", "key": …, "case": …, "cents": n}
    {"id": 7, "answer": "paid" | "nothing" | "busy" | "declined" | "failed", "why": …}

`key` makes a request idempotent: one that the ledger has is answered as before and noted as a
repeat. A reversal of a case that was not refunded is answered with "nothing". What comes in while
the disk is waited for shares the next wait; "paid" goes out only when the ledger is on the disk.
Being busy and declining leave no trace. When the disk is full the answer is "failed", nothing was
paid, and the desk stays open.

Standard library only. It ends on SIGTERM, with the answers it owes, and when the process that
started it has gone; its socket goes with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .ledger import Entry, Ledger, LedgerError
from .rules import is_busy, is_declined

__all__ = ("Decisions", "main")

# Requests that wait for the disk; whoever sends more is not read from until there is room.
_PENDING = 4096

# How long those who are slow to take their answers are waited for at the end.
_GOODBYE = 1.0

_Answer = dict[str, Any]


class _Request(NamedTuple):
    entry: Entry
    answer: Callable[[_Answer], None]


class Decisions:
    """What the desk answers, one lot of requests after the other; knows no socket and no loop."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self._ledger = ledger
        self._seed = seed
        self._turned_away: set[str] = set()
        self._refunded = {entry.case for entry in ledger.entries.values() if entry.kind == "refund"}

    def settle(self, entries: list[Entry]) -> list[_Answer]:
        """Answer a lot; blocks until the ledger holds what was paid, in one write."""
        answers: list[_Answer] = []
        lot: dict[str, Entry] = {}
        refunded: set[str] = set()
        lines: list[Entry] = []
        for entry in entries:
            if (before := self._ledger.entries.get(entry.key) or lot.get(entry.key)) is not None:
                answers.append(_again(entry, before))
                if answers[-1]["answer"] == "paid":
                    lines.append(entry._replace(repeat=True))
            elif entry.key not in self._turned_away and is_busy(self._seed, entry.case):
                self._turned_away.add(entry.key)
                answers.append({"answer": "busy"})
            elif entry.kind == "reversal" and not (
                entry.case in self._refunded or entry.case in refunded
            ):
                # Asked for by somebody who did not hear whether there was one.
                answers.append({"answer": "nothing"})
            elif entry.kind == "refund" and is_declined(self._seed, entry.case):
                answers.append({"answer": "declined"})
            else:
                lot[entry.key] = entry
                lines.append(entry)
                if entry.kind == "refund":
                    refunded.add(entry.case)
                answers.append({"answer": "paid"})
        if lines:
            try:
                self._ledger.append(lines)
            except OSError as error:
                failed = {"answer": "failed", "why": f"{self._ledger.path}: {error.strerror}"}
                return [failed if each["answer"] == "paid" else each for each in answers]
            self._refunded |= refunded
        return answers


def _again(entry: Entry, before: Entry) -> _Answer:
    if entry[:4] == before[:4]:
        return {"answer": "paid"}
    return {"answer": "failed", "why": f"{entry.key} was used for another request"}


class _Desk:
    """The loop around the decisions: reads requests, gathers lots, sends answers."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._pending: list[_Request] = []
        self._room = asyncio.Semaphore(_PENDING)
        self._has_work = asyncio.Event()
        self._is_closing = False
        self._connections: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    def close(self) -> None:
        """Let `work` end when everything that came in so far is answered."""
        self._is_closing = True
        self._has_work.set()

    async def work(self) -> None:
        """Answer lot after lot until closed."""
        while self._pending or not self._is_closing:
            await self._has_work.wait()
            lot, self._pending = self._pending, []
            if not self._is_closing:
                self._has_work.clear()
            if not lot:
                continue
            answers = await asyncio.to_thread(
                self._decisions.settle, [request.entry for request in lot]
            )
            for request, answer in zip(lot, answers, strict=True):
                request.answer(answer)
                self._room.release()
        await self._hang_up()

    async def _hang_up(self) -> None:
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait([*filter(None, self._connections)], timeout=_GOODBYE)
        for writer in self._connections.values():
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one connection to its end; a line that is no request ends it."""
        self._connections[asyncio.current_task()] = writer
        try:
            while not self._is_closing and (line := await reader.readline()).endswith(b"\n"):
                fields = json.loads(line)
                answer = _answerer(writer, fields.pop("id"))
                try:
                    entry = Entry.parse(json.dumps({**fields, "repeat": False}).encode())
                except ValueError as error:
                    answer({"answer": "failed", "why": str(error)})
                    continue
                await self._room.acquire()
                self._pending.append(_Request(entry, answer))
                self._has_work.set()
                # A client that does not take its answers is not read from either.
                await writer.drain()
        except (ValueError, TypeError, AttributeError, LookupError, OSError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[asyncio.current_task()]


def _answerer(writer: asyncio.StreamWriter, number: object) -> Callable[[_Answer], None]:
    def send(answer: _Answer) -> None:
        if not writer.is_closing():
            writer.write(json.dumps({"id": number, **answer}).encode() + b"\n")

    return send


async def _run(socket: Path, ledger: Ledger, seed: int, parent: int) -> None:
    loop = asyncio.get_running_loop()
    desk = _Desk(Decisions(ledger, seed))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, desk.close)
    lifeline = os.pidfd_open(parent) if parent else -1
    if parent:
        loop.add_reader(lifeline, desk.close)
        if os.getppid() != parent:
            return
    server = await asyncio.start_unix_server(desk.serve, socket)
    try:
        print(json.dumps({"cut": ledger.cut}), flush=True)
        await desk.work()
    finally:
        server.close()


def _clear_away(socket: Path, parent: int) -> None:
    socket.unlink(missing_ok=True)
    if parent and os.getppid() != parent:
        # Who made the folder for the socket cannot take it away any more.
        with suppress(OSError):
            socket.parent.rmdir()


def main() -> int:
    """Run the desk; 2 when it cannot open, with one line of JSON on stdout that says why."""
    parser = argparse.ArgumentParser(prog="python -m penstock.demo.rebooking.desk")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--ledger", type=Path, required=True, help="the file of what was paid")
    parser.add_argument("--seed", type=int, required=True, help="what mishaps depend on")
    parser.add_argument("--parent", type=int, default=0, help="end when this parent has ended")
    arguments = parser.parse_args()
    try:
        with Ledger(arguments.ledger) as ledger:
            if ledger.cut:
                print(
                    f"refund desk: {arguments.ledger}: the last line was torn by a crash; "
                    f"its {ledger.cut} bytes were cut off",
                    file=sys.stderr,
                )
            # Left by a desk that was killed, and not by another: that one has the ledger.
            arguments.socket.unlink(missing_ok=True)
            try:
                asyncio.run(_run(arguments.socket, ledger, arguments.seed, arguments.parent))
            finally:
                _clear_away(arguments.socket, arguments.parent)
    except (LedgerError, OSError) as error:
        if isinstance(error, LedgerError):
            failure = [str(error.path), error.why, error.hint]
        else:
            why = (error.strerror or str(error)).lower()
            failure = [str(error.filename or arguments.ledger), why, "make room, or choose another"]
        print(json.dumps({"failure": failure}), flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
