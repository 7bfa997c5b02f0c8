"""The sub-command: gather the findings, print them, and say by the exit code what they mean."""

from __future__ import annotations

import argparse
import sys

from . import build, kernel, packages, room
from .check import Verdict, look
from .render import Findings, as_json, as_text, wants_colour, worst

_GROUPS = {
    "build": build.PROBES,
    "packages": packages.PROBES,
    "kernel": kernel.PROBES,
    "room": room.PROBES,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def main(arguments: argparse.Namespace) -> int:
    findings = examine()
    if arguments.json:
        print(as_json(findings))
    else:
        print(as_text(findings, colour=wants_colour(sys.stdout)))
    return 1 if worst(findings) is Verdict.FAIL else 0


def examine() -> Findings:
    return {group: [look(probe) for probe in probes] for group, probes in _GROUPS.items()}
