"""`python -m benches.conformance [PACKAGE …]`: all are stored, some are printed."""

from __future__ import annotations

import datetime as dt
import json
import platform
import subprocess
import sys
from typing import Any

from benches.environment import ROOT

from . import page
from .adapter import Adapter
from .packages import adapters, all_names
from .probe import Probe, all_probes

PATIENCE = 40.0
"""Seconds for one probe; the longest takes five."""
ASKED = 3
"""So often a wrong answer has to be given: a machine that is busy, or stopped, is no fault."""


def main(names: list[str]) -> int:
    known = all_names()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(
            f"conformance: there is no {unknown[0]!r}\n  hint: {', '.join(known)}", file=sys.stderr
        )
        return 2
    there = adapters()
    if not names and len(there) < len(known):
        missing = ", ".join(sorted(set(known) - {each.name for each in there}))
        print(
            f"conformance: {missing} are not installed\n  hint: make conformance installs all, "
            "or name those to ask",
            file=sys.stderr,
        )
        return 2
    probes = all_probes()
    asked = [each for each in there if not names or each.name in names]
    answers = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "packages": [_asked(adapter, probes) for adapter in asked],
    }
    if not names:
        page.ANSWERS.write_text(f"{json.dumps(answers, indent=1)}\n", encoding="utf-8")
        page.PAGE.write_text(page.page(answers, probes), encoding="utf-8")
    print(page.summary(answers, probes))
    broken = [
        f"{package['name']}: {name}: {answer['words']}"
        for package in answers["packages"]
        for name, answer in package["answers"].items()
        if answer.get("is_broken")
    ]
    for line in broken:
        print(f"conformance: the probe itself failed: {line}", file=sys.stderr)
    return 1 if broken else 0


def _asked(adapter: Adapter, probes: list[Probe]) -> dict[str, Any]:
    print(f"conformance: {adapter.name} {adapter.version}", file=sys.stderr, flush=True)
    return {
        "name": adapter.name,
        "version": adapter.version,
        "note": adapter.note,
        "answers": {probe.name: _answer(adapter, probe) for probe in probes},
    }


def _answer(adapter: Adapter, probe: Probe) -> dict[str, Any]:
    if getattr(type(adapter), probe.strategy) is getattr(Adapter, probe.strategy):
        return {"is_right": None, "words": ""}
    for _ in range(ASKED):
        answer = _answer_once(adapter, probe)
        if answer["is_right"] is not False:
            break
    return answer


def _answer_once(adapter: Adapter, probe: Probe) -> dict[str, Any]:
    command = [sys.executable, "-m", "benches.conformance.apart", adapter.name, probe.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return {"is_right": False, "words": "hangs"}
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return {"is_right": False, "words": last, "is_broken": True}
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
