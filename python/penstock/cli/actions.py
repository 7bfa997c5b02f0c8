"""What the commands that look into a store share: their actions, pages of what there is, text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from penstock.errors import PenstockError


def add_action(
    actions: Any, name: str, purpose: str, act: Callable[[argparse.Namespace], int], *, url: str
) -> argparse.ArgumentParser:
    """An action of a command, with the store's URL before all else; `url` says what that may be."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=purpose, description=purpose, allow_abbrev=False
    )
    parser.add_argument("url", metavar="URL", help=url)
    parser.set_defaults(act=act)
    return parser


def add_page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_limit, default=100, help="at most so many (100)")
    parser.add_argument("--after", help="go on behind the page that named this")


def _limit(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("give 1 to 10000")
    return value


def run_action(command: str, arguments: argparse.Namespace) -> int:
    """Run the action that was chosen: its exit code, or 2 and a line of error with its hint."""
    run: Callable[[argparse.Namespace], int] = arguments.act
    try:
        return run(arguments)
    except PenstockError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"penstock {command}: {error}{hint}", file=sys.stderr)
        return 2


def one_line(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())
