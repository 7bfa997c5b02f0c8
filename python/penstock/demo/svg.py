"""Scales and elements for charts drawn as inline SVG; text, no state, no dependency.

Coordinates are the chart's own; the page scales it. Colours come from the page's style sheet by
class, so that light and dark are its affair alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

__all__ = ("Scale", "chart", "element", "nice_ticks", "path")


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` on pixels from `start` to `end`, linear or by powers of ten."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = log10(low), log10(high), log10(max(value, self.low))
        share = (value - low) / (high - low) if high != low else 0.0
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values to mark on the axis."""
        if self.logarithmic:
            first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        return nice_ticks(self.low, self.high, about)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within low and high, `about` as many."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(about, 1)
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(count * step, 10) for count in range(first, last + 1)]


def element(name: str, *children: str, text: str = "", **attributes: object) -> str:
    """One element; `class_` is class, other underscores are hyphens; `text` is escaped."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
    )
    inner = escape(text) + "".join(children)
    return f"<{name}{words}>{inner}</{name}>" if inner else f"<{name}{words}/>"


def chart(width: float, height: float, label: str, *children: str) -> str:
    """A whole drawing; `label` is what a screen reader says of it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


def path(points: list[tuple[float, float]]) -> str:
    """A polyline's path data."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
