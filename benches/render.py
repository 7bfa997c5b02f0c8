"""`RESULTS.md` from stored runs: a pure function, so that the page never says more than they do."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from statistics import median
from typing import Any

from benches.ratios import Interval, interval, paired
from benches.runs import Run, merge
from benches.units import Unit, three_digits

HEAD = """\
# Results

Rendered from the runs in `benches/runs/` by `python -m benches render`; the newest run of each row
counts. How the figures are taken, and what they do not say: `docs/performance.md`.

A ratio says how many times as fast penstock is as the contender of that line, in that run, round by
round: above 1 penstock is ahead, below 1 the other is. Absolute figures move by 20 to 30 % on a
shared machine; ratios move less. A target is *met* when the whole interval meets it, *missed* when
none of it does, *open* in between."""


def page(runs: Iterable[Run], known: Iterable[str]) -> str:
    """The page for these rows; newest measurement of each, with the environments it came from."""
    merged = merge(runs, known)
    used: list[Run] = []
    for _, run in merged:
        if run not in used:
            used.append(run)
    used.sort(key=lambda run: run.date, reverse=True)
    places: list[dict[str, Any]] = []
    for run in used:
        if run.environment not in places:
            places.append(run.environment)
    sections = [HEAD, _machines(places), _packages(merged), _behind(merged)]
    room = None
    for row, run in merged:
        this_room = row["row"].partition("/")[0]
        if this_room != room:
            room = this_room
            sections.append(f"## {room}")
        sections.append(section(row, run, _letter(places.index(run.environment))))
    return "\n\n".join(text for text in sections if text) + "\n"


def section(row: dict[str, Any], run: Run, place: str = "A") -> str:
    """One row: a table for each figure, then how each contender was used."""
    parts = [f"### {row['row']}", row["question"]]
    subject = row["contenders"][0]
    for figure in row["figures"]:
        name = figure["name"]
        unit = Unit(figure["unit"], figure["more_is_better"])
        lines = [
            f"| {name} | median | lowest to highest | penstock is | target | |",
            "|---|---:|---|---:|---|---|",
        ]
        for contender in row["contenders"]:
            values = contender["values"][name]
            spread = f"{unit.text(min(values))} to {unit.text(max(values))}"
            seen = _seen(subject, contender, name, unit)
            ratio = "" if contender is subject else _ratio(seen)
            goals = [
                t
                for t in row["targets"]
                if t["figure"] == name
                and t["peer"] == (None if contender is subject else contender["name"])
            ]
            lines.append(
                f"| {contender['name']} | {unit.text(median(values))} | {spread} | {ratio} "
                f"| {', '.join(_goal(t, unit) for t in goals)} "
                f"| {', '.join(_verdict(t, seen, unit) for t in goals)} |"
            )
        parts.append("\n".join(lines))
    parts.append("\n".join(f"- {c['name']}: {c['settings']}" for c in row["contenders"]))
    coverage = interval([1.0] * run.rounds).coverage
    parts.append(
        f"{run.date[:10]}, commit {run.commit}{' with changes' if run.changed else ''}, machine "
        f"{place}, {run.rounds} rounds (intervals hold with {100 * coverage:.1f} %), load "
        f"{run.load:.2f} before."
    )
    return "\n\n".join(parts)


def _seen(subject: dict[str, Any], contender: dict[str, Any], figure: str, unit: Unit) -> Interval:
    """What targets are held against: the figure itself for the subject, else the paired ratio."""
    mine, other = subject["values"][figure], contender["values"][figure]
    if contender is subject:
        return interval(mine)
    return paired(mine, other, more_is_better=unit.more_is_better)


def _ratio(seen: Interval) -> str:
    return f"**{_times(seen.median)}** ({_times(seen.low)} to {_times(seen.high)})"


def _times(ratio: float) -> str:
    if ratio == inf:
        return "∞×"
    return f"{three_digits(ratio)}×"


def _goal(target: dict[str, Any], unit: Unit) -> str:
    if target["peer"] is not None:
        return f"≥ {target['limit']:.3g}×"
    return f"{'≥' if unit.more_is_better else '≤'} {unit.text(target['limit'])}"


def _verdict(target: dict[str, Any], seen: Interval, unit: Unit) -> str:
    if seen.coverage < 0.9:
        return "too few rounds"
    # A ratio is better when larger, whatever its figure's unit.
    judge = unit if target["peer"] is None else Unit("", more_is_better=True)
    ends = {judge.meets(seen.low, target["limit"]), judge.meets(seen.high, target["limit"])}
    return "open" if len(ends) == 2 else "met" if ends == {True} else "missed"


def _behind(merged: list[tuple[dict[str, Any], Run]]) -> str:
    """The rows in which penstock is not ahead, gathered where nobody can overlook them."""
    lines = []
    for row, _ in merged:
        subject = row["contenders"][0]
        for figure in row["figures"]:
            unit = Unit(figure["unit"], figure["more_is_better"])
            for contender in row["contenders"][1:]:
                if contender["package"] == "penstock":
                    continue  # another way to use it is no peer
                seen = _seen(subject, contender, figure["name"], unit)
                if seen.low < 1:
                    cells = (row["row"], figure["name"], contender["name"], _ratio(seen))
                    lines.append(f"| {' | '.join(cells)} |")
    if not lines:
        return ""
    head = "| row | figure | against | penstock is |\n|---|---|---|---:|"
    return "\n".join(["## Where penstock is not ahead", "", head, *lines])


def _machines(places: list[dict[str, Any]]) -> str:
    if not places:
        return "No run is stored yet."
    keys = {
        "cpu": "CPU",
        "cores": "cores",
        "memory_gib": "memory, GiB",
        "kernel": "kernel",
        "libc": "C library",
        "python": "Python",
        "python_build": "Python's build",
        "switch_interval": "switch interval, s",
        "penstock": "penstock",
        "build_profile": "build profile",
    }
    letters = [_letter(index) for index in range(len(places))]
    lines = [f"| machine | {' | '.join(letters)} |", "|---" * (len(places) + 1) + "|"]
    for key, label in keys.items():
        lines.append(f"| {label} | {' | '.join(str(p.get(key, '?')) for p in places)} |")
    return "\n".join(lines)


def _packages(merged: list[tuple[dict[str, Any], Run]]) -> str:
    """Every version that stands behind a figure; several where rows were measured apart."""
    versions: dict[str, set[str]] = {}
    for row, _ in merged:
        for name, version in row["shared"].items():
            versions.setdefault(name, set()).add(version)
        for contender in row["contenders"]:
            if contender["package"] not in (None, "penstock"):
                versions.setdefault(contender["package"], set()).add(contender["version"])
    if not versions:
        return ""
    listed = (f"{name} {' and '.join(sorted(seen))}" for name, seen in sorted(versions.items()))
    return f"Versions: {', '.join(listed)}."


def _letter(index: int) -> str:
    return chr(ord("A") + index)
