"""The findings as text that reads without colour, or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import IO

from penstock import __version__

from .check import Check, Verdict

Findings = Mapping[str, Sequence[Check]]

_COLOURS = {Verdict.OK: "32", Verdict.ABSENT: "2", Verdict.WARN: "33", Verdict.FAIL: "31;1"}
_ORDER = list(_COLOURS)  # from harmless to grave


def worst(findings: Findings) -> Verdict:
    verdicts = (check.verdict for checks in findings.values() for check in checks)
    return max(verdicts, key=_ORDER.index, default=Verdict.OK)


def as_json(findings: Findings) -> str:
    checks = [
        {"group": group, **check._asdict()} for group, found in findings.items() for check in found
    ]
    # What is absent by choice is no finding against the machine.
    verdict = worst(findings)
    summary = Verdict.OK if verdict is Verdict.ABSENT else verdict
    return json.dumps(
        {"penstock": __version__, "verdict": summary, "checks": checks},
        indent=2,
        ensure_ascii=False,
    )


def as_text(findings: Findings, *, colour: bool) -> str:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    width = max(len(check.name) for checks in findings.values() for check in checks)
    lines = [f"penstock {__version__}"]
    for group, checks in findings.items():
        lines += ["", paint(group, "1")]
        for check in checks:
            dim = check.verdict is Verdict.ABSENT
            body = f"{check.name:<{width}}  {check.seen}"
            mark = paint(f"{check.verdict:<6}", _COLOURS[check.verdict])
            lines.append(f"  {mark}  {paint(body, '2') if dim else body}")
            if check.remedy is not None:
                remedy = f"{'':<10}{'':<{width}}  → {check.remedy}"
                lines.append(paint(remedy, "2") if dim else remedy)
    return "\n".join([*lines, "", _closing(findings)])


def _closing(findings: Findings) -> str:
    verdicts = [check.verdict for checks in findings.values() for check in checks]
    faults, warnings = verdicts.count(Verdict.FAIL), verdicts.count(Verdict.WARN)
    if not faults and not warnings:
        return "Nothing stands in penstock's way here."
    parts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((faults, "fault"), (warnings, "warning"))
        if count
    ]
    return f"{' and '.join(parts)}; the arrows say what helps."


def wants_colour(stream: IO[str]) -> bool:
    """Colour is for terminals, and never against the wish in NO_COLOR (https://no-color.org)."""
    refused = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not refused
