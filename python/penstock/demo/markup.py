"""The blocks that the report is made of: sections, figures, keys and tables, as HTML text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .run_charts import Line, timeline
from .stage import Stage
from .svg import element
from .wording import duration, integer

__all__ = (
    "cards",
    "charts",
    "figure",
    "folded",
    "key",
    "line_figure",
    "section",
    "stage_table",
    "table",
)


def section(title: str, words: str, *parts: str) -> str:
    """A heading, a paragraph of plain text, and what stands below it."""
    return element(
        "section",
        element("h2", words=title),
        element("p", words=words, class_="soft"),
        *parts,
    )


def charts(*figures: str) -> str:
    """Figures side by side where there is room for two."""
    return element("div", *figures, class_="charts")


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """Single figures in large type: (what it is, the figure)."""
    return element(
        "dl",
        *(
            element("div", element("dt", words=name), element("dd", words=value))
            for name, value in figures
        ),
        class_="figures",
    )


def figure(title: str, caption: str, drawing: str, *folds: str) -> str:
    """`caption` is text, or a key of symbols already in markup."""
    words = caption
    if caption and not caption.startswith("<ul"):
        words = element("span", words=caption)
    return element(
        "figure",
        element("figcaption", element("h3", words=title), words),
        drawing,
        *folds,
    )


def line_figure(quantity: Line, *, most: float | None = None) -> str:
    """One quantity over the run; `most` is the end of its axis, by default what it reached."""
    return figure(quantity.name, quantity.unit, timeline(quantity, most=most))


def folded(summary: str, *parts: str) -> str:
    """What is shown on demand."""
    return element("details", element("summary", words=summary), *parts)


def key(*entries: tuple[str, str], shape: str = "dot") -> str:
    """What symbols mean: (style class, word); those of style "mean" and of bars are squares."""
    items = []
    for style, word in entries:
        sign = (
            element("rect", x=1, y=1, width=10, height=10, class_=style)
            if shape == "bar" or style == "mean"
            else element("circle", cx=6, cy=6, r=4.5, class_=style)
        )
        symbol = element("svg", sign, viewBox="0 0 12 12", aria_hidden="true")
        items.append(element("li", symbol, element("span", words=word)))
    return element("ul", *items, class_="key")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """Scrolls by itself where it is wider than the page; `style` is a class for the table."""
    head = element("tr", *(element("th", words=word, scope="col") for word in headings))
    body = (element("tr", *(element("td", words=cell) for cell in row)) for row in rows)
    named = {"class_": style} if style else {}
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *body), **named),
        class_="scroll",
    )


def stage_table(stages: Iterable[Stage], heading: str = "stage") -> str:
    """Calls and percentiles of each."""
    return table(
        (heading, "calls", "p50", "p90", "p99", "max"),
        (
            (
                f"{stage.name}, per {stage.unit}",
                integer(stage.count),
                *(duration(t) for t in (stage.p50, stage.p90, stage.p99, stage.greatest)),
            )
            for stage in stages
        ),
    )
