"""Reads the command line and hands over to one sub-command."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple, NoReturn

from penstock import __version__

_INTERRUPTED = 130  # what a shell reports for a process that SIGINT ended: 128 + 2


class _Command(NamedTuple):
    """A sub-command: its module has `add_arguments(parser)` and `main(arguments) -> exit code`."""

    name: str
    purpose: str
    module: str

    def is_present(self) -> bool:
        """Whether this wheel has the room: what is not there is not offered."""
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False


_COMMANDS = (
    _Command("demo", "work through a year of flights from New York", "penstock.demo.command"),
    _Command("doctor", "look at this machine as penstock sees it", "penstock.cli.doctor.command"),
    _Command("messages", "look into queues, put dead letters back", "penstock.cli.messages"),
    _Command("saga", "look into sagas, resume parked ones", "penstock.cli.saga"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    `arguments` defaults to those of the process. 0: all is well; 1: the command found a fault in
    what it looked at; 2: it could not do what was asked; 130: Ctrl-C. Bad usage raises
    `SystemExit(2)` after one line on standard error, `--help` and `--version` `SystemExit(0)`.
    """
    line = sys.argv[1:] if arguments is None else list(arguments)
    if not line:
        print(_overview())
        return 0
    try:
        parser = _parser(line)
        chosen = parser.parse_args(line)
        run: Callable[[argparse.Namespace], int] | None = getattr(chosen, "run", None)
        if run is None:
            parser.error("no command given")
        code = run(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"penstock {line[0]}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `penstock doctor | head -1`. The interpreter flushes again at
        # its exit, and must find something that takes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


class _Parser(argparse.ArgumentParser):
    """argparse puts the whole usage above its one line of error; the line is enough."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n  hint: {self.prog} --help\n")


class _Overview(_Parser):
    """The parser above the sub-commands, whose help is the overview."""

    def format_help(self) -> str:
        return f"{_overview()}\n"


def _parser(line: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Overview(prog="penstock", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"penstock {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    for command in _present():
        purpose = f"{command.purpose[0].upper()}{command.purpose[1:]}."
        sub = commands.add_parser(command.name, description=purpose, allow_abbrev=False)
        if command.name in line:  # the code of the others is not even imported
            module = importlib.import_module(command.module)
            module.add_arguments(sub)
            sub.set_defaults(run=module.main)
    return parser


def _present() -> list[_Command]:
    return [command for command in _COMMANDS if command.is_present()]


def _overview() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    lines = [
        f"penstock {__version__} on {python}",
        "Hand-off, streams, worker pools and numbers for Python services, on a Rust core.",
        "",
        *(f"  penstock {command.name:<8} {command.purpose}" for command in _present()),
        "",
        "`penstock COMMAND --help` says more; `python -m penstock` is the same command.",
    ]
    return "\n".join(lines)
