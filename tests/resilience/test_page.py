"""The page prints the table that policies are checked against, and names every strategy."""

from __future__ import annotations

import re
from pathlib import Path

from penstock.resilience import RULES, Strategy
from penstock.resilience.order import CANONICAL

PAGE = (Path(__file__).parents[2] / "docs" / "resilience.md").read_text(encoding="utf-8")


def table() -> str:
    lines = ["| outside | inside | | why |", "|---|---|---|---|"]
    for rule in RULES:
        inner = "anything" if len(rule.inner) == len(CANONICAL) - 1 else ", ".join(rule.inner)
        lines.append(f"| {', '.join(rule.outer)} | {inner} | {rule.verdict} | {rule.reason} |")
    lines += [
        (
            "| one strategy | another of its kind | refused "
            "| its settings can say all that two would |"
        ),
        "| RateLimit | RateLimit | canonical | two limits over different times |",
    ]
    return "\n".join(lines)


def test_the_order_table_is_that_of_the_code():
    (printed,) = re.findall(r"<!-- order: begin -->\n(.*?)\n?<!-- order: end -->", PAGE, re.DOTALL)
    assert printed == table(), f"put this between the two marks:\n{table()}"


def test_every_strategy_is_in_the_list_in_canonical_order():
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)
    assert tuple(rows) == CANONICAL
    assert set(rows) == {each.__name__ for each in Strategy.__subclasses__()}


def test_the_canonical_order_is_told():
    (sentence,) = re.findall(r"The canonical order, outermost first: (.*?)\.", PAGE)
    assert tuple(re.split(r", | or ", sentence)) == CANONICAL
