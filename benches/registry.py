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
    "shared",
    "metrics",
    "tracing",
    "workers",
    "streams",
    "messages",
    "outbox",
    "saga",
    "resilience",
    "client",
    "events",
    "adapters",
    "asgi",
    "cqrs",
)


# Those with rows for a Python without a global lock, which lacks modules that others import.
ROOMS_WITHOUT_GIL = ("queues",)


def all_cases(*, without_gil: bool = False) -> list[Case]:
    """Every case, in the order of the rooms and then of the modules' names."""
    found: list[Case] = []
    for room in ROOMS_WITHOUT_GIL if without_gil else ROOMS:
        package = importlib.import_module(f"{benches.__name__}.{room}")
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            found.extend(getattr(loaded, "CASES", ()))
    return found


def chosen(names: Sequence[str], cases: Sequence[Case], *, without_gil: bool) -> list[Case]:
    """Of the rows and rooms named, or of all, the cases that this interpreter measures.

    A row named that another kind of interpreter measures is refused: a figure from this one would
    stand on the page in place of the other's.
    """
    for name in names:
        named = [case for case in cases if name in (case.row, case.room, case.name)]
        if not named:
            raise Refusal(
                f"there is no row or room {name!r}",
                hint="`python -m benches list` shows the rows",
            )
        if not any(case.without_gil == without_gil for case in named):
            raise Refusal(
                f"{name!r} is measured by a Python {'with' if without_gil else 'without'} a global "
                "lock, which this one is not",
                hint=f"`make bench{'' if without_gil else '-free-threaded'}` has one",
            )
    return [
        case
        for case in cases
        if case.without_gil == without_gil
        and (not names or {case.row, case.room, case.name} & set(names))
    ]
