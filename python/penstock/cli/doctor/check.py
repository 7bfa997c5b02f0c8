"""One thing looked at, and the verdict."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple


class Verdict(enum.StrEnum):
    """How much it matters; only FAIL makes the exit code 1."""

    OK = "ok"
    ABSENT = "absent"  # optional, and not there
    WARN = "warn"  # works, but less well than it could
    FAIL = "fail"  # something of penstock will not work


class Check(NamedTuple):
    """What was looked at, the value seen, and the command or step that mends it."""

    name: str
    verdict: Verdict
    seen: str
    remedy: str | None = None


def ok(name: str, seen: str) -> Check:
    return Check(name, Verdict.OK, seen)


def absent(name: str, seen: str, remedy: str) -> Check:
    return Check(name, Verdict.ABSENT, seen, remedy)


def warn(name: str, seen: str, remedy: str) -> Check:
    return Check(name, Verdict.WARN, seen, remedy)


def fail(name: str, seen: str, remedy: str) -> Check:
    return Check(name, Verdict.FAIL, seen, remedy)


Probe = Callable[[], Check]


def look(probe: Probe) -> Check:
    """Run a probe; one that stumbles over an unusual machine is itself a finding."""
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 -- the other checks are still worth having
        name = probe.__name__.replace("_", " ")
        return warn(name, f"could not look: {type(error).__name__}: {error}", "report this line")


def size(count: float) -> str:
    """Bytes for people: 1536 → '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
