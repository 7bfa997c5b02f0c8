"""What strategies need to write their lines."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("NOW", "NOW_NS", "indented")

NOW = "(monotonic() if clock.virtual is None else clock.virtual.now())"
"""The clock in force as an expression, without a call of ours around it."""
NOW_NS = "(monotonic_ns() if clock.virtual is None else clock.now_ns())"
"""The same in nanoseconds. Native states need neither: they go by the clock in force themselves."""


def indented(lines: Sequence[str]) -> list[str]:
    """The lines one level deeper."""
    return ["    " + line for line in lines]
