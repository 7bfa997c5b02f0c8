"""The ledger check: recomputes what must have come of each cancelled flight, and compares.

A program of its own, `python -m penstock.demo.check`. It uses the standard library and nothing
else of penstock, so that no mistake can be in both: it reads the flights by other code than the
demo, the database through plain sqlite3, and the refund desk's ledger line by line.
"""

from .compare import Files, Verdict, check
from .source import Unreadable

__all__ = ("Files", "Unreadable", "Verdict", "check")
