"""One row in an interpreter of its own: `python -m benches.row queues/put-get --rounds 9`.

Threads, loops, pools and imports of one row must not weigh on the next, and a row that hangs or
crashes must not take the others with it. Prints the row as JSON; also the entry for a profiler.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benches.case import Case
from benches.environment import is_without_gil, require_packages, require_release_build
from benches.laps import LAP, Series, race
from benches.refusal import Refusal, WrongAnswer
from benches.registry import all_cases, chosen


def packages(case: Case) -> set[str]:
    """The distributions that the row needs beside the standard library."""
    return {*case.shared, *(c.package for c in case.contenders if c.package)}


def as_row(case: Case, series: list[Series], versions: dict[str, str]) -> dict[str, Any]:
    """The row as it is stored: everything that rendering needs, so that old runs stay readable."""
    return {
        "row": case.row,
        "question": case.question,
        "shared": {name: versions[name] for name in case.shared},
        "figures": [
            {"name": f.name, "unit": f.unit.symbol, "more_is_better": f.unit.more_is_better}
            for f in case.figures
        ],
        "targets": [
            {
                "limit": t.limit,
                "peer": t.peer,
                "figure": t.figure or case.figures[0].name,
            }
            for t in case.targets
        ],
        "contenders": [
            {
                "name": s.contender.name,
                "settings": s.contender.settings,
                "package": s.contender.package,
                "version": versions.get(s.contender.package or ""),
                "operations": s.operations,
                "values": s.values,
            }
            for s in series
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.row", description=__doc__)
    parser.add_argument("row")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lap", type=float, default=LAP, help="seconds of one lap")
    asked = parser.parse_args(arguments)
    try:
        require_release_build()
        without_gil = is_without_gil()
        cases = all_cases(without_gil=without_gil)
        (case,) = chosen([asked.row], cases, without_gil=without_gil)
        versions = require_packages(packages(case))
        series = race(case, asked.rounds, asked.lap, told=lambda line: print(line, file=sys.stderr))
    except (Refusal, WrongAnswer) as error:
        print(f"benches: {error}", file=sys.stderr)
        if isinstance(error, Refusal):
            print(f"  hint: {error.hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(as_row(case, series, versions)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
