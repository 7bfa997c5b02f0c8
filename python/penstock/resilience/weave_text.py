"""What strategies need to write their lines."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("NOW", "indented")

NOW = "(monotonic() if clock.virtual is None else clock.virtual.now())"
"""The clock in force as an expression, without a call of ours around it."""


def indented(lines: Sequence[str]) -> list[str]:
    """The lines one level deeper."""
    return ["    " + line for line in lines]
