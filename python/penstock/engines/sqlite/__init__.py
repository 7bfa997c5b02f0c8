"""SQLite, by the standard library's own copy of it: one file, one writer thread in each process.

A second SQLite library on the same file in one process loses committed rows (POSIX locks belong
to the process), so nothing else here ever opens one. Durability: WAL with synchronous=FULL.
"""

from __future__ import annotations

from .failures import (
    DatabaseDamaged,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    NotADatabase,
    OutcomeUnknown,
    SchemaTooNew,
)
from .stores import open_store

__all__ = (
    "DatabaseDamaged",
    "DatabaseFull",
    "DatabaseLocked",
    "DatabaseReadOnly",
    "NotADatabase",
    "OutcomeUnknown",
    "SchemaTooNew",
    "open_store",
)
