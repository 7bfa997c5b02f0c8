"""`penstock saga`: what sagas of a store are doing, what each has done, and parked ones resumed."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections import Counter
from datetime import datetime
from functools import partial

from penstock.errors import Misuse
from penstock.saga.inspection import SagaRecord, SagaStep, inspected, record, step_of
from penstock.saga.outcome import SagaState
from penstock.saga.store import Found, SagaEngine

from .actions import add_action, add_page, indented, one_line, run_action

_action = partial(add_action, url="as SagaStore takes it: sqlite:///trips.db")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    listed = _action(actions, "list", "sagas, the oldest first, and how many there are", _list)
    listed.add_argument("--saga", metavar="NAME", help="those of one name")
    listed.add_argument("--state", choices=[each.value for each in SagaState], help="in one state")
    add_page(listed)
    listed.add_argument("--json", action="store_true", help="print JSON")
    show = _action(actions, "show", "one saga and every attempt of its steps", _show)
    show.add_argument("name", metavar="SAGA", help="the saga's name")
    show.add_argument("key", metavar="KEY", help="the key it was started with")
    show.add_argument("--traceback", action="store_true", help="with tracebacks")
    show.add_argument("--json", action="store_true", help="print JSON")
    resume = _action(actions, "resume", "let parked sagas go on where they stand", _resume)
    resume.add_argument("name", metavar="SAGA", help="the saga's name")
    resume.add_argument("keys", metavar="KEY", nargs="*", help="keys, as `list` prints them")
    resume.add_argument("--all", action="store_true", help="all of this name that are parked now")
    resume.add_argument("--by", help="who says so, for their history (your user name)")


def main(arguments: argparse.Namespace) -> int:
    return run_action("saga", arguments)


def _list(arguments: argparse.Namespace) -> int:
    try:
        after = 0 if arguments.after is None else int(arguments.after)
    except ValueError:
        raise Misuse(
            f"--after {arguments.after} is not where a page ended", hint="leave it out to begin"
        ) from None
    with inspected(arguments.url) as engine:
        counted = engine.writer.call(engine.counts())
        write = engine.page(arguments.saga, arguments.state, after, arguments.limit + 1)
        found = engine.writer.call(write)
    more = str(found[arguments.limit - 1].seq) if len(found) > arguments.limit else None
    found = found[: arguments.limit]
    if arguments.json:
        items = [_as_dict(record(each)) for each in found]
        counts = [{"saga": name, "state": state, "count": n} for name, state, n in counted]
        print(json.dumps({"counts": counts, "items": items, "next": more}, indent=2))
        return 0
    for each in found:
        error = "" if each.error is None else f"  {one_line(each.error)}"
        print(f"{_moment(each.started_at)}  {each.state:<12}  {each.name}  {each.key}{error}")
    total: Counter[str] = Counter()
    for name, state, n in counted:
        if arguments.saga is None or arguments.saga == name:
            total[state] += n
    said = ", ".join(f"{n:,} {state}" for state, n in total.items())
    print(f"in all: {said or 'none'}", file=sys.stderr)
    if more is not None:
        print(f"more: --after {more}", file=sys.stderr)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    with inspected(arguments.url) as engine:
        found = _found(engine, arguments.name, arguments.key)
        lines = [step_of(each) for each in engine.writer.call(engine.history(found.seq))]
    saga = record(found)
    if arguments.json:
        history = [_step_as_dict(each) for each in lines]
        print(json.dumps({**_as_dict(saga), "history": history}, indent=2))
        return 0
    where = "" if saga.state.is_final else f", at {_position(found)}"
    print(f"saga {saga.saga}  key {saga.key}  {saga.state}{where}")
    print(f"  started {_moment(saga.started_at)}, last moved {_moment(saga.changed_at)}")
    print(f"  begun or taken over {saga.fence} times", end="")
    print(f", {saga.crashes} crashes in a row" if saga.crashes else "")
    print(f"  context {one_line(saga.context.decode(errors='backslashreplace'))}")
    if saga.error is not None:
        print(f"  error   {saga.error if saga.step is None else f'{saga.step}: {saga.error}'}")
    for each in lines:
        print(f"  {_moment(each.at)}  {_told(each)}")
        if arguments.traceback and each.traceback:
            print(indented(each.traceback, 6), end="")
    return 0


def _found(engine: SagaEngine, name: str, key: str) -> Found:
    found = engine.writer.call(engine.find(name, key))
    if found is None:
        names = sorted({known for known, _, _ in engine.writer.call(engine.counts())})
        raise Misuse(
            f"{engine.writer.name} has no saga {name!r} with key {key!r}",
            hint=f"there are sagas named {', '.join(names) or 'nothing'}; `penstock saga list`",
        )
    return found


def _position(found: Found) -> str:
    direction = "step" if found.phase == "do" else "compensation of step"
    return f"{direction} {found.step + 1}, attempt {found.attempt}"


def _told(each: SagaStep) -> str:
    if each.phase == "note":
        who = f" by {each.step}" if each.step else ""
        return f"{each.state}{who}{f': {each.error}' if each.error else ''}"
    name = each.step if each.phase == "do" else f"undo {each.step}"
    took = f"{each.seconds * 1e3:.1f} ms"
    rest = f"  {one_line(each.error)}" if each.error else ""
    if each.result is not None:
        rest = f"  {one_line(each.result.decode(errors='backslashreplace'))}"
    return f"{name}  attempt {each.attempt}  fence {each.fence}  {each.state}  {took}{rest}"


def _resume(arguments: argparse.Namespace) -> int:
    if bool(arguments.keys) == arguments.all:
        print(
            "penstock saga resume: name keys, or give --all\n"
            f"  hint: penstock saga list {arguments.url} --state parked",
            file=sys.stderr,
        )
        return 2
    by = arguments.by or getpass.getuser()
    with inspected(arguments.url) as engine:
        if arguments.all:
            seqs = list(_parked(engine, arguments.name))
        else:
            seqs = [_found(engine, arguments.name, key).seq for key in arguments.keys]
        resumed = sum(engine.writer.call(engine.resume(seq, by)) for seq in seqs)
    print(f"{resumed} of {len(seqs)} resumed; a process that runs this saga goes on with them")
    return 0 if resumed == len(seqs) else 1


def _parked(engine: SagaEngine, name: str) -> list[int]:
    """Those that are parked now; what is parked again meanwhile stays."""
    seqs: list[int] = []
    while True:
        write = engine.page(name, SagaState.PARKED.value, seqs[-1] if seqs else 0, 1000)
        found = engine.writer.call(write)
        seqs += [each.seq for each in found]
        if len(found) < 1000:
            return seqs


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def _as_dict(saga: SagaRecord) -> dict[str, object]:
    return {
        "saga": saga.saga,
        "key": saga.key,
        "state": saga.state.value,
        "is_owned": saga.is_owned,
        "fence": saga.fence,
        "crashes": saga.crashes,
        "started_at": saga.started_at,
        "changed_at": saga.changed_at,
        "step": saga.step,
        "error": saga.error,
        "context": saga.context.decode(errors="backslashreplace"),
        "traceparent": saga.traceparent,
    }


def _step_as_dict(each: SagaStep) -> dict[str, object]:
    result = None if each.result is None else each.result.decode(errors="backslashreplace")
    return {
        "step": each.step,
        "phase": each.phase,
        "attempt": each.attempt,
        "state": each.state,
        "seconds": each.seconds,
        "at": each.at,
        "fence": each.fence,
        "result": result,
        "error": each.error,
        "traceback": each.traceback,
    }
