"""Finds the cases: every module in a room's folder lists its own in `CASES`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

import benches
from benches.case import Case
from benches.refusal import Refusal

ROOMS = (
    "queues",
    "metrics",
    "tracing",
    "workers",
    "streams",
    "messages",
    "outbox",
    "saga",
)


def all_cases() -> list[Case]:
    """Every case, in the order of the rooms and then of the modules' names."""
    found: list[Case] = []
    for room in ROOMS:
        package = importlib.import_module(f"{benches.__name__}.{room}")
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            found.extend(getattr(loaded, "CASES", ()))
    return found


def chosen(names: Sequence[str], cases: Sequence[Case]) -> list[Case]:
    """The cases of the rows and rooms named; all of them if none is."""
    for name in names:
        if not any(name in (case.row, case.room, case.name) for case in cases):
            raise Refusal(
                f"there is no row or room {name!r}",
                hint="`python -m benches list` shows the rows",
            )
    if not names:
        return list(cases)
    return [case for case in cases if {case.row, case.room, case.name} & set(names)]
