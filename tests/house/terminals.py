"""Types a tutorial into shells, as a reader would, and reads what they print.

Three kinds of fenced blocks count, in the order of the page:

    ```py title="NAME"          the whole content of a file
    ```console                  the first terminal
    ```console title="NAME"     another one

In a terminal's block `$ …` is a command, `^C` an interrupt of what runs in the foreground, and
every other line is printed, in this order and with nothing else between; `…` stands for anything
within one line. A block that begins without a command goes on with what was typed before.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from tests.house import pages

PATIENCE = 120.0  # seconds for a line; only ever used up by a page that is wrong

_BLOCK = re.compile(
    r"^```(?P<language>py|console)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What a shell says of a job that was killed looks different in each shell, and is not on the page.
_ABOUT_A_JOB = re.compile(r"bash: line \d+: +\d+ Killed .*")


class Block(NamedTuple):
    line: int  # of its first line
    language: str
    title: str | None
    lines: list[str]


def blocks(text: str) -> list[Block]:
    return [
        Block(
            text.count("\n", 0, found.start("body")) + 1,
            found["language"],
            found["title"],
            found["body"].splitlines(),
        )
        for found in _BLOCK.finditer(text)
    ]


def run(path: Path, folder: Path, **instead: str) -> int:
    """Work through a page in an empty folder; returns how many commands were typed.

    `lease="5.0"` writes `lease=5.0` into the files where the page has another number.
    """
    terminals: dict[str | None, Terminal] = {}
    typed = 0
    try:
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.language == "py":
                assert block.title is not None, f"{path.name}:{block.line}: a file needs a title"
                code = "\n".join(block.lines) + "\n"
                for name, value in instead.items():
                    code = re.sub(rf"\b{name}=[\d.]+", f"{name}={value}", code)
                (folder / block.title).write_text(code, encoding="utf-8")
                continue
            if block.title not in terminals:
                terminals[block.title] = Terminal(folder)
            for number, line in enumerate(block.lines, block.line):
                typed += line.startswith("$ ")
                terminals[block.title].go_on(line, f"{path.name}:{number}")
        for name, terminal in terminals.items():
            terminal.finish(f"{path.name}, {name or 'first terminal'}")
    finally:
        for terminal in terminals.values():
            terminal.close()
    return typed


class Terminal:
    """One shell, and everything that it started."""

    def __init__(self, folder: Path) -> None:
        tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**os.environ, "PATH": tools, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            if not _ABOUT_A_JOB.fullmatch(line.rstrip()):
                self._lines.put(line.rstrip())
        self._lines.put(None)

    def go_on(self, line: str, where: str) -> None:
        if line.startswith("$ "):
            assert self._shell.stdin is not None
            self._shell.stdin.write(f"{line[2:]}\n")
            self._shell.stdin.flush()
        elif line == "^C":
            os.killpg(self._shell.pid, signal.SIGINT)
        else:
            pages.compare(line, self._next(where, line), where)

    def _next(self, where: str, line: str) -> str:
        try:
            return self._lines.get(timeout=PATIENCE) or ""
        except queue.Empty:
            raise AssertionError(f"{where}: nothing printed, expected {line!r}") from None

    def finish(self, where: str) -> None:
        """Everything has ended, and nothing was printed that is not on the page."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(timeout=PATIENCE)
        self._reader.join(timeout=PATIENCE)
        assert not self._reader.is_alive(), f"{where}: something goes on running"
        left = list(iter(self._lines.get, None))
        assert not left, f"{where}: printed more: {left}"

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._reader.join()
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
