"""The packages that are asked, a module each; penstock first."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache

from ..adapter import Adapter

__all__ = ("adapters", "all_names", "named")


def all_names() -> list[str]:
    """Of every adapter, installed or not."""
    return list(_adapters())


def adapters() -> list[Adapter]:
    """Those whose package is installed."""
    return [each for each in _adapters().values() if importlib.util.find_spec(each.module)]


def named(name: str) -> Adapter:
    """The adapter of that name."""
    return _adapters()[name]


@cache
def _adapters() -> dict[str, Adapter]:
    found: list[Adapter] = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        found += loaded.ADAPTERS
    found.sort(key=lambda each: (each.name != "penstock", each.name))
    return {each.name: each for each in found}
