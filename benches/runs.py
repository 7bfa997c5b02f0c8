"""Stored runs: one JSON file per `run`, with date, commit and versions; merged when read.

Committed runs lie in `benches/runs/`, scratch ones in `benches/runs/local/`, which git ignores.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benches.refusal import Refusal

STORED = Path(__file__).parent / "runs"
LOCAL = STORED / "local"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Run:
    """Rows measured together, and where."""

    date: str  # ISO 8601, UTC
    commit: str
    changed: bool  # the tree differed from the commit
    rounds: int
    load: float  # the machine's load average before the first lap
    environment: dict[str, Any]
    rows: list[dict[str, Any]]

    def save(self, folder: Path) -> Path:
        """Write the file whole or not at all; called after every row, so that none is lost."""
        folder.mkdir(parents=True, exist_ok=True)
        name = self.date.replace(":", "").replace("+0000", "Z")
        path = folder / f"{name}-{self.commit}.json"
        partial = path.with_suffix(".partial")
        content = {"schema": SCHEMA} | {key: getattr(self, key) for key in self.__slots__}
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(path)
        return path


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def load(folder: Path) -> list[Run]:
    """The folder's runs, oldest first."""
    return sorted((_read(path) for path in folder.glob("*.json")), key=lambda run: run.date)


def merge(runs: Iterable[Run], known: Iterable[str]) -> list[tuple[dict[str, Any], Run]]:
    """For each known row its newest measurement with the run it is from, in the rows' order."""
    newest: dict[str, tuple[dict[str, Any], Run]] = {}
    for run in sorted(runs, key=lambda run: run.date):
        for row in run.rows:
            newest[row["row"]] = (row, run)
    return [newest[name] for name in known if name in newest]


def _read(path: Path) -> Run:
    try:
        content = json.loads(path.read_text())
        schema = content.pop("schema", None)
        run = Run(**content)
    except (ValueError, AttributeError, TypeError) as error:
        raise Refusal(
            f"{path} is not a stored run: {error}", hint="remove it and measure its rows again"
        ) from error
    if schema != SCHEMA:
        raise Refusal(
            f"{path} has schema {schema}, these benches read {SCHEMA}",
            hint="remove it and measure its rows again",
        )
    return run
