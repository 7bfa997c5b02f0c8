"""`penstock messages`: look into message queues from outside, and put dead letters back."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from penstock.messages.inspection import Inspected, inspected
from penstock.messages.letters import DeadLetter
from penstock.messages.statistics import MessageStatistics

from .actions import add_action, add_page, indented, one_line, run_action

_COLUMNS = ("ready", "delayed", "in flight", "behind", "dead", "oldest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    stats = _action(actions, "stats", "how many messages are in which state", _stats)
    stats.add_argument("name", metavar="NAME", nargs="?", help="one queue; all of them by default")
    dead = _action(actions, "dead", "messages that were given up, with the reason", _dead)
    dead.add_argument("name", metavar="NAME", help="the queue")
    add_page(dead)
    dead.add_argument("--traceback", action="store_true", help="with the last attempt's traceback")
    redrive = _action(actions, "redrive", "put dead letters back into their queue", _redrive)
    redrive.add_argument("name", metavar="NAME", help="the queue")
    redrive.add_argument("ids", metavar="ID", nargs="*", help="messages, as `dead` names them")
    redrive.add_argument("--all", action="store_true", help="all that are dead now")


def main(arguments: argparse.Namespace) -> int:
    return run_action("messages", arguments)


def _action(
    actions: Any, name: str, purpose: str, act: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    url = "as MessageQueue takes it: sqlite:///jobs.db"
    parser = add_action(actions, name, purpose, act, url=url)
    if name != "redrive":
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _stats(arguments: argparse.Namespace) -> int:
    with inspected(arguments.url, arguments.name) as queues:
        found = {queue.name: queue.statistics() for queue in queues}
    if arguments.json:
        print(json.dumps({name: each._asdict() for name, each in found.items()}, indent=2))
        return 0
    width = max([len(name) for name in found] + [len("queue")])
    print("  ".join([f"{'queue':<{width}}", *(f"{column:>9}" for column in _COLUMNS)]))
    for name, each in found.items():
        print("  ".join([f"{name:<{width}}", *(f"{cell:>9}" for cell in _cells(each))]))
    return 0


def _cells(found: MessageStatistics) -> list[str]:
    oldest = "-" if found.oldest is None else f"{found.oldest:.1f} s"
    return [*(f"{count:,}" for count in found[:5]), oldest]


def _dead(arguments: argparse.Namespace) -> int:
    with inspected(arguments.url, arguments.name) as queues:
        page = queues[0].dead_letters(limit=arguments.limit, after=arguments.after)
    if arguments.json:
        letters = [_as_dict(each) for each in page.items]
        print(json.dumps({"items": letters, "next": page.next}, indent=2))
        return 0
    for each in page.items:
        died = datetime.fromtimestamp(each.died_at).astimezone().isoformat(timespec="seconds")
        key = "" if each.key is None else f"  key {each.key}"
        print(f"{each.id}  {died}  attempt {each.attempts}{key}  {one_line(each.reason)}")
        if arguments.traceback and each.traceback:
            print(indented(each.traceback, 4), end="")
    if page.next is not None:
        print(f"more: --after {page.next}", file=sys.stderr)
    return 0


def _as_dict(each: DeadLetter) -> dict[str, object]:
    return {
        "id": each.id,
        "key": each.key,
        "attempts": each.attempts,
        "reason": each.reason,
        "traceback": each.traceback,
        "headers": dict(each.headers),
        "payload": each.payload.decode(errors="backslashreplace"),
        "enqueued_at": each.enqueued_at,
        "died_at": each.died_at,
    }


def _redrive(arguments: argparse.Namespace) -> int:
    if bool(arguments.ids) == arguments.all:
        print(
            "penstock messages redrive: name messages, or give --all\n"
            f"  hint: penstock messages dead {arguments.url} {arguments.name}",
            file=sys.stderr,
        )
        return 2
    with inspected(arguments.url, arguments.name) as queues:
        (queue,) = queues
        moved = _all(queue) if arguments.all else queue.redrive(arguments.ids)
    print(f"{moved} of {'all' if arguments.all else len(arguments.ids)} put back")
    return 0 if arguments.all or moved == len(set(arguments.ids)) else 1


def _all(queue: Inspected) -> int:
    """What is dead now; what dies meanwhile stays, or a broken handler would make this endless."""
    left = queue.statistics().dead
    moved = 0
    after: str | None = None
    while left > 0:
        page = queue.dead_letters(limit=min(left, 1000), after=after)
        moved += queue.redrive(page.ids)
        left -= len(page.ids)
        if page.next is None:
            break
        after = page.next
    return moved
