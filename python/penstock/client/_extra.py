"""Imported before the rest: without httpx2 nothing here works."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("httpx2") is None:
    raise ModuleNotFoundError(
        'penstock.client needs httpx2: pip install "penstock[client]"', name="httpx2"
    )
