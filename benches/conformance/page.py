"""`CONFORMANCE.md` and the table in the documentation, from the answers that are stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .probe import Probe

__all__ = ("ANSWERS", "PAGE", "load", "page", "summary")

ANSWERS = Path(__file__).parent / "answers.json"
PAGE = Path(__file__).parents[1] / "CONFORMANCE.md"

HEAD = """\
# Conformance

What resilience packages do when a call is cancelled, and while a circuit is half-open. Each cell is
one probe, in a process of its own, asked by `make conformance` and rendered from
`benches/conformance/answers.json`. **Bold** is a wrong answer, given three times, in words; *–* a
strategy that the package does not have in that form. All on asyncio; penstock's are tests on uvloop
and trio as well. Probes and adapters are in `benches/conformance/`: an adapter uses its package as
its documentation does, with the settings under which it does best."""


def load() -> dict[str, Any]:
    """What was stored last."""
    answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return answers


def page(answers: dict[str, Any], probes: list[Probe]) -> str:
    """The whole page."""
    parts = [HEAD, f"{answers['date']}, Python {answers['python']}, {answers['system']}."]
    for strategy in dict.fromkeys(probe.strategy for probe in probes):
        own = [probe for probe in probes if probe.strategy == strategy]
        asked = [
            package
            for package in answers["packages"]
            if any(
                package["answers"].get(probe.name, {}).get("is_right") is not None for probe in own
            )
        ]
        table = [
            f"| {strategy} | {' | '.join(str(number) for number in range(1, len(own) + 1))} |",
            f"|---|{'---|' * len(own)}",
        ]
        for package in asked:
            cells = [_cell(package["answers"].get(probe.name)) for probe in own]
            table.append(f"| {package['name']} {package['version']} | {' | '.join(cells)} |")
        questions = [
            f"{number}. *{probe.name.replace('-', ' ')}*: {probe.question}"
            for number, probe in enumerate(own, 1)
        ]
        parts += [f"## {strategy.capitalize()}", "\n".join(questions), "\n".join(table)]
    notes = [f"- {each['name']}: {each['note']}" for each in answers["packages"] if each["note"]]
    parts += ["## How they were set up", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def summary(answers: dict[str, Any], probes: list[Probe]) -> str:
    """A line for each package: right answers of those it was asked, by strategy."""
    strategies = list(dict.fromkeys(probe.strategy for probe in probes))
    lines = [f"| | {' | '.join(strategies)} |", f"|---|{'---|' * len(strategies)}"]
    for package in answers["packages"]:
        cells = []
        for strategy in strategies:
            seen = [
                package["answers"][probe.name]["is_right"]
                for probe in probes
                if probe.strategy == strategy
            ]
            asked = [each for each in seen if each is not None]
            cells.append(f"{sum(asked)} of {len(asked)}" if asked else "–")
        lines.append(f"| {package['name']} {package['version']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(answer: dict[str, Any] | None) -> str:
    if answer is None or answer["is_right"] is None:
        return "–"
    return answer["words"] if answer["is_right"] else f"**{answer['words']}**"
