"""Scales and elements for charts drawn as inline SVG; text, no state, no dependency.

Coordinates are the chart's own; the page scales it. Colours come from the page's style sheet by
class, so that light and dark are its affair alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from typing import TypeAlias

__all__ = (
    "WIDTH",
    "Plot",
    "Scale",
    "Word",
    "dot",
    "element",
    "line",
    "mark",
    "nice_ticks",
    "polyline",
    "rect",
    "text",
)

# Drawn for a phone's width and scaled up from there: text stays readable on both.
WIDTH = 480

# What neither XML nor UTF-8 can carry.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

Word: TypeAlias = Callable[[float], str]


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
        return [float(low)]
    rough = (high - low) / max(about, 1)
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(count * step, 10) for count in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Plot:
    """The field within a chart's margins, and its axes."""

    height: float
    left: float
    top: float
    bottom: float
    right: float = 12

    def across(self, low: float, high: float, *, logarithmic: bool = False) -> Scale:
        """A scale from left to right."""
        return Scale(low, high, self.left, WIDTH - self.right, logarithmic)

    def upward(self, low: float, high: float) -> Scale:
        """A scale from bottom to top."""
        return Scale(low, high, self.height - self.bottom, self.top)

    def left_axis(self, scale: Scale, word: Word, about: int, *, whole: bool = False) -> list[str]:
        """Rules across the field with their values at the left; `whole` marks integers only."""
        parts: list[str] = []
        for tick in scale.ticks(about):
            if whole and not tick.is_integer():
                continue
            place = scale(tick)
            style = "zero" if tick == 0 else "grid"
            parts += (
                line(self.left, place, WIDTH - self.right, place, style),
                text(self.left - 6, place + 4, word(tick), "axis end"),
            )
        return parts

    def bottom_axis(
        self, scale: Scale, word: Word, title: str, about: int = 6, *, ruled: bool = False
    ) -> list[str]:
        """Values below the field and what they are; `ruled` draws lines up from them."""
        foot = self.height - self.bottom
        parts = [self.bottom_title(title)]
        for tick in scale.ticks(about):
            place = scale(tick)
            if ruled:
                parts.append(line(place, self.top, place, foot, "zero" if tick == 0 else "grid"))
            parts.append(text(place, foot + 16, word(tick), "axis middle"))
        return parts

    def bottom_title(self, title: str) -> str:
        """What the horizontal axis shows."""
        return text((self.left + WIDTH - self.right) / 2, self.height - 3, title, "axis middle")

    def chart(self, label: str, *parts: str) -> str:
        """The whole drawing; `label` is what a screen reader says of it."""
        box = f"0 0 {WIDTH} {self.height:g}"
        return element("svg", *parts, viewBox=box, role="img", aria_label=label)


def element(name: str, *children: str, words: str = "", **attributes: object) -> str:
    """One element; `class_` is class, other underscores are hyphens; `words` are escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(_short(value))}"'
        for key, value in attributes.items()
    )
    inner = _escaped(words) + "".join(children)
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def _escaped(words: str) -> str:
    return escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", words))


def mark(title: str, *parts: str) -> str:
    """A group that shows `title` when it is hovered."""
    return element("g", element("title", words=title), *parts, class_="mark")


def text(x: float, y: float, words: str, style: str) -> str:
    """One line of text."""
    return element("text", x=x, y=y, class_=style, words=words)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=style)


def rect(x: float, y: float, width: float, height: float, style: str) -> str:
    """A rectangle; of style "hit" it is invisible, so that a mark need not be hit exactly."""
    return element("rect", x=x, y=y, width=width, height=height, class_=style)


def dot(x: float, y: float, radius: float, style: str) -> str:
    """A filled circle."""
    return element("circle", cx=x, cy=y, r=radius, class_=style)


def polyline(points: Sequence[tuple[float, float]], style: str, *, closed: bool = False) -> str:
    """Straight lines from point to point."""
    way = "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + ("Z" if closed else "")
    return element("path", d=way, class_=style)


def _short(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
