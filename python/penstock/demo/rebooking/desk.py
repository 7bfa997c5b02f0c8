"""The refund desk: a process of its own that pays, and that is asked again when in doubt.

    python -m penstock.demo.rebooking.desk --socket PATH --ledger PATH --seed N

HTTP over a unix socket, POST with JSON; any number of connections, one request at a time on each:

    POST /refunds or /reversals   Idempotency-Key: …   {"case": …, "cents": n}

    200 {"answer": "paid" | "nothing"}             503 {"answer": "busy"}
    409 {"answer": "declined"}                     507 {"answer": "failed", "why": …}
    400, 404 and 422 {"answer": "failed", "why": …} for what is no such request

The key makes a request idempotent: one that the ledger has is answered as before and noted as a
repeat. A reversal of a case that was not refunded is answered with "nothing". What comes in while
the disk is waited for shares the next wait; "paid" goes out only when the ledger is on the disk.
Being busy and declining leave no trace. When the disk is full the answer is 507, nothing was paid,
and the desk stays open.

It fails on purpose, as the seed says: it is busy (503), takes its time, and now and then resets
the connection in place of the answer, when it has paid.

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
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from .desk_http import Asked, NoRequest, answered, read
from .ledger import Entry, Ledger, LedgerError
from .rules import is_busy, is_cut_off, is_declined, is_slow

__all__ = ("Decisions", "main")

# Seconds that a slow one takes longer.
_SLOW = 0.05

_KINDS = {"/refunds": "refund", "/reversals": "reversal"}
_STATUSES = {
    "paid": HTTPStatus.OK,
    "nothing": HTTPStatus.OK,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "declined": HTTPStatus.CONFLICT,
    "failed": HTTPStatus.INSUFFICIENT_STORAGE,
    "reused": HTTPStatus.UNPROCESSABLE_ENTITY,
}

# How long those who are slow to take their answers are waited for at the end.
_GOODBYE = 1.0

_Answer = dict[str, Any]


class _Request(NamedTuple):
    entry: Entry
    answer: asyncio.Future[_Answer]


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
    return {"answer": "reused", "why": f"{entry.key} was used for another request"}


class _Desk:
    """The loop around the decisions: reads requests, gathers lots, sends answers."""

    def __init__(self, decisions: Decisions, seed: int) -> None:
        self._decisions = decisions
        self._seed = seed
        self._pending: list[_Request] = []
        self._has_work = asyncio.Event()
        self._is_closing = False
        self._connections: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}
        self._owed: set[asyncio.Task[None] | None] = set()
        """Connections whose request has been read and not been answered."""
        self._cut_off: set[str] = set()

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
                if not request.answer.done():
                    request.answer.set_result(answer)
        await self._hang_up()

    async def _hang_up(self) -> None:
        for task, writer in self._connections.items():
            if task not in self._owed:
                writer.close()
        if self._connections:
            await asyncio.wait([*filter(None, self._connections)], timeout=_GOODBYE)
        for writer in self._connections.values():
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection; what is no request ends it."""
        task = asyncio.current_task()
        self._connections[task] = writer
        try:
            while not self._is_closing and (asked := await read(reader)) is not None:
                self._owed.add(task)
                response = await self._answer(asked)
                if response is None:
                    writer.transport.abort()
                    return
                writer.write(response)
                await writer.drain()
                self._owed.discard(task)
        except (NoRequest, OSError):
            pass
        finally:
            self._owed.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]

    async def _answer(self, asked: Asked) -> bytes | None:
        """The response; None to end the connection in place of one."""
        kind = _KINDS.get(asked.path)
        if kind is None or asked.method != "POST":
            why = f"there is no {asked.method} {asked.path}"
            return answered(HTTPStatus.NOT_FOUND, {"answer": "failed", "why": why})
        try:
            fields = json.loads(asked.body)
            fields |= {"key": asked.key, "kind": kind, "repeat": False}
            entry = Entry.parse(json.dumps(fields).encode())
        except (ValueError, TypeError) as error:
            why = str(error)
            return answered(HTTPStatus.BAD_REQUEST, {"answer": "failed", "why": why})
        if is_slow(self._seed, entry.case):
            await asyncio.sleep(_SLOW)
        request = _Request(entry, asyncio.get_running_loop().create_future())
        self._pending.append(request)
        self._has_work.set()
        answer = await request.answer
        if (
            answer["answer"] == "paid"
            and is_cut_off(self._seed, entry.case)
            and entry.key not in self._cut_off
        ):
            self._cut_off.add(entry.key)
            return None
        status = _STATUSES[answer["answer"]]
        if status is HTTPStatus.UNPROCESSABLE_ENTITY:
            answer = {**answer, "answer": "failed"}
        return answered(status, answer)


async def _run(socket: Path, ledger: Ledger, seed: int, parent: int) -> None:
    loop = asyncio.get_running_loop()
    desk = _Desk(Decisions(ledger, seed), seed)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, desk.close)
    lifeline = os.pidfd_open(parent) if parent else -1
    if parent:
        loop.add_reader(lifeline, desk.close)
        if os.getppid() != parent:
            return
    server = await asyncio.start_unix_server(desk.serve, socket, backlog=1024)
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
