"""Numbers as a person reads them, the same on the terminal and in the report."""

from __future__ import annotations

from math import isnan

__all__ = (
    "counted",
    "dollars",
    "duration",
    "integer",
    "megabytes",
    "minutes",
    "percent",
    "rate",
    "shortened",
)


def integer(value: int) -> str:
    """With a comma every three digits."""
    return f"{value:,}"


def minutes(value: float, digits: int = 0) -> str:
    """Minutes, without the unit; a dash where there are none."""
    return "–" if isnan(value) else f"{value:,.{digits}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share of one; a dash where there is none."""
    return "–" if isnan(share) else f"{share * 100:.{digits}f}\u00a0%"


def duration(seconds: float) -> str:
    """Two digits or more, in the unit that leaves one to three before the point."""
    if isnan(seconds):
        return "–"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            value = seconds / scale
            return f"{value:.{max(0, 2 - len(str(int(value))))}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def megabytes(value: int) -> str:
    """Bytes in megabytes of a million bytes."""
    return f"{value / 1e6:,.0f} MB" if value >= 9.95e6 else f"{value / 1e6:.1f} MB"


def rate(value: float) -> str:
    """So many a second."""
    for scale, letter, least in ((1e6, "M", 1e6), (1e3, "k", 1e4)):
        if value >= least:
            return f"{value / scale:,.{1 if letter == 'M' else 0}f}\u00a0{letter}"
    return f"{value:,.0f}"


def counted(count: int, one: str) -> str:
    """A number and what it counts, which takes an s in the plural."""
    return f"{integer(count)} {one}{'' if count == 1 else 's'}"


def dollars(cents: int) -> str:
    """An amount that is counted in cents."""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def shortened(words: str, letters: int) -> str:
    """At most so many letters, the last one a sign that there are more."""
    return words if len(words) <= letters else f"{words[: max(letters - 1, 0)].rstrip()}…"
