"""`python -m tests.chaos --room queues --minutes 1 [--seed N]`, as `make chaos` calls it."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

from tests.chaos.counting import Counts, Violation, go_on

HERE = Path(__file__).parent


def rooms() -> list[str]:
    """Rooms of penstock that have a module of chaos here."""
    stems = sorted(path.stem for path in HERE.glob("[a-z]*.py"))
    return [stem for stem in stems if find_spec(f"penstock.{stem}") is not None]


def minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def main() -> int:
    known = rooms()
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--room", choices=known, help="one room; all of them by default")
    parser.add_argument("--minutes", type=minutes, default=1.0, help="for each room")
    parser.add_argument("--seed", type=int, help="replay from this seed, not where the room is")
    arguments = parser.parse_args()
    counts = Counts(HERE / "counts.json")
    for room in [arguments.room] if arguments.room else known:
        run = importlib.import_module(f"tests.chaos.{room}").run
        try:
            go_on(room, run, counts, seconds=arguments.minutes * 60, seed=arguments.seed)
        except Violation as violation:
            traceback.print_exception(violation)
            print(f"again: make chaos ROOM={room} SEED={violation.seed}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{room}: interrupted; the slice under way is not counted", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
