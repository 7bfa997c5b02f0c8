"""`python -m penstock.demo.check`: 0 if all balances, 1 if not, 2 for a file it cannot read."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .compare import Files, check
from .source import Unreadable


def main(arguments: list[str] | None = None) -> int:
    """Check what the command line names; print the verdict on stdout, a bad file on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.demo.check",
        description="Check that each cancelled flight of a demo run was settled exactly once.",
    )
    for name, text in (
        ("data", "the flights: csv, csv.gz or zip"),
        ("planes", "planes.csv, with tailnum and seats"),
        ("quarantine", "the lines that the demo left out"),
        ("database", "the demo's SQLite file"),
        ("ledger", "the refund desk's ledger"),
    ):
        parser.add_argument(
            f"--{name}", metavar="FILE", type=Path, required=name != "quarantine", help=text
        )
    parser.add_argument("--seed", metavar="N", type=int, default=2013, help="default: 2013")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args(arguments)
    files = Files(
        options.data, options.planes, options.quarantine, options.database, options.ledger
    )
    try:
        verdict = check(files, options.seed)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(verdict.as_json(), indent=2))
    else:
        print(*verdict.lines(), sep="\n")
    return 0 if verdict.balances else 1


if __name__ == "__main__":
    sys.exit(main())
