"""Imported before the rest: without httpx2 nothing here works."""

from __future__ import annotations

try:
    import httpx2 as _httpx2  # noqa: F401
except ImportError as missing:
    missing.add_note('hint: penstock.client needs httpx2: pip install "penstock[client]"')
    raise
