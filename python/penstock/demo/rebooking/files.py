"""The files of a run that stand beside its database."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ("digest", "ledger_of")


def ledger_of(database: Path) -> Path:
    """The refund desk's ledger."""
    return database.with_name(f"{database.name}.refunds.jsonl")


def digest(source: Path) -> str:
    """Of a file's content, so that the same flights under another name are the same run. Blocks."""
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
