"""Units of figures, and how a value is written: three significant digits, the prefix that fits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """A base unit (`items/s`, `B/s`, `s`) and which way is better."""

    symbol: str
    more_is_better: bool

    def text(self, value: float) -> str:
        """`Unit("s", False).text(6.2e-08)` is `62 ns`."""
        if self.symbol in _COUNTED:
            return f"{value:.3g} {self.symbol}"
        prefixes = _LARGE if self.more_is_better else _SMALL
        size = abs(value)
        # The threshold lies where three digits round up, so that 999.7 k is written 1 M.
        scale, prefix = next(
            ((scale, prefix) for scale, prefix in prefixes if size >= 0.9995 * scale), prefixes[-1]
        )
        # SI units take a prefix (3 GB/s, 62 ns); for things that are counted it stands alone.
        gap = " " if prefix and self.symbol not in ("B/s", "s") else ""
        return f"{three_digits(value / scale)} {prefix}{gap}{self.symbol}".rstrip()

    def times(self, subject: float, peer: float) -> float:
        """How many times as fast the subject is as the peer; above 1 the subject wins."""
        return subject / peer if self.more_is_better else peer / subject

    def meets(self, value: float, limit: float) -> bool:
        return value >= limit if self.more_is_better else value <= limit


# Numbers of things rather than quantities: no thousandth of a call is ever made.
_COUNTED = ("calls/item", "%")
_LARGE = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def three_digits(value: float) -> str:
    """What a measurement on a shared machine supports, if that."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


ITEMS = Unit("items/s", more_is_better=True)
CALLS = Unit("calls/s", more_is_better=True)
LINES = Unit("lines/s", more_is_better=True)
EVENTS = Unit("events/s", more_is_better=True)
BYTES = Unit("B/s", more_is_better=True)
SECONDS = Unit("s", more_is_better=False)
PER_ITEM = Unit("calls/item", more_is_better=False)
PERCENT = Unit("%", more_is_better=False)
