"""`python -m benches list | run [ROW|ROOM ...] [--rounds N] [--local] | render [--local]`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benches import environment, runs
from benches.case import Case
from benches.laps import LAP
from benches.refusal import Refusal
from benches.registry import all_cases, chosen
from benches.render import page, section
from benches.row import packages

RESULTS = Path(__file__).parent / "RESULTS.md"
PATIENCE = 900  # seconds; the longest row takes some two minutes
LEAST_ROUNDS = 5  # fewer give no median worth keeping


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "list":
            return _list()
        if asked.command == "render":
            return _render(local=asked.local)
        return _run(asked.names, asked.rounds, asked.lap, local=asked.local)
    except Refusal as refusal:
        print(f"benches: {refusal}\n  hint: {refusal.hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benches: interrupted; finished rows are stored", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="list | run | render")
    commands.add_parser("list", help="show the rows: question and contenders")
    run = commands.add_parser("run", help="measure rows and store them")
    run.add_argument("names", nargs="*", metavar="ROW|ROOM", help="all if none is named")
    run.add_argument("--rounds", type=int, default=9, help="laps of each contender (default 9)")
    run.add_argument("--lap", type=float, default=LAP, help=f"seconds of one (default {LAP})")
    run.add_argument("--local", action="store_true", help="scratch: store in runs/local only")
    render = commands.add_parser("render", help="write RESULTS.md from the stored runs")
    render.add_argument("--local", action="store_true", help="print the scratch runs instead")
    return parser


def _list() -> int:
    room = None
    for case in all_cases(without_gil=environment.is_without_gil()):
        if case.room != room:
            room = case.room
            print(f"\n{room}")
        print(f"  {case.row}\n    {case.question}")
        print(f"    {' · '.join(contender.name for contender in case.contenders)}")
    return 0


def _render(*, local: bool) -> int:
    known = [case.row for case in all_cases()]
    if local:
        print(page(runs.load(runs.LOCAL), known), end="")
        return 0
    RESULTS.write_text(page(runs.load(runs.STORED), known))
    print(f"wrote {RESULTS}", file=sys.stderr)
    return 0


def _run(names: list[str], rounds: int, lap: float, *, local: bool) -> int:
    if rounds < 1 or lap <= 0:
        raise Refusal(
            f"--rounds {rounds} --lap {lap} measures nothing", hint="use at least 1 and 0.01"
        )
    if not local and (rounds < LEAST_ROUNDS or lap < LAP):
        raise Refusal(
            f"--rounds {rounds} --lap {lap} is too little to store beside other runs",
            hint=f"at least {LEAST_ROUNDS} rounds of {LAP} s, or --local for a quick look",
        )
    environment.require_release_build()
    without_gil = environment.is_without_gil()
    cases = chosen(names, all_cases(without_gil=without_gil), without_gil=without_gil)
    environment.require_packages({name for case in cases for name in packages(case)})
    warning = environment.busy()
    if warning is not None:
        print(f"benches: {warning}", file=sys.stderr)
    head, changed = environment.commit()
    run = runs.Run(
        date=runs.now(),
        commit=head,
        changed=changed,
        rounds=rounds,
        load=os.getloadavg()[0],
        environment=environment.describe(),
        rows=[],
    )
    failed: list[str] = []
    folder = runs.LOCAL if local else runs.STORED
    for case in cases:
        row = _measured_apart(case, rounds, lap)
        if row is None:
            failed.append(case.row)
            continue
        run.rows.append(row)
        path = run.save(folder)
        print(f"{section(row, run)}\n", flush=True)
    if run.rows:
        print(f"benches: stored {path}", file=sys.stderr)
    if failed:
        print(f"benches: no figures for {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured_apart(case: Case, rounds: int, lap: float) -> dict[str, object] | None:
    """The row from a process of its own; None if that failed, having said why on stderr."""
    # Pool workers import the functions they run, so they must find `benches` as well.
    path = os.pathsep.join(filter(None, (str(environment.ROOT), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benches.row", case.row, f"--rounds={rounds}", f"--lap={lap}"],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            timeout=PATIENCE + rounds * 60 * lap,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        print(f"benches: {case.row} hung; ended after {expired.timeout:.0f} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print(f"benches: {case.row} ended with code {done.returncode}", file=sys.stderr)
        return None
    row: dict[str, object] = json.loads(done.stdout)
    return row


if __name__ == "__main__":
    sys.exit(main())
