"""Runs the examples of a Markdown page, as a reader would who types them in from the top.

Every fenced block that opens with exactly ```python runs, in order, in one namespace per page;
`await` is allowed at the top of a block. A ```text block right behind it is what it prints, where
`…` stands for anything within one line. Other openings, such as ```py, are for reading only.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import itertools
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)


class Example(NamedTuple):
    line: int  # of its first line of code
    code: str
    output: str | None


def examples(text: str) -> list[Example]:
    blocks = list(_FENCE.finditer(text))
    found = []
    for block, following in itertools.zip_longest(blocks, blocks[1:]):
        if block["info"].strip() != "python":
            continue
        output = None
        if following is not None and following["info"].strip() == "text":
            between = text[block.end() : following.start()]
            output = following["body"] if not between.strip() else None
        found.append(Example(text.count("\n", 0, block.start("body")) + 1, block["body"], output))
    return found


def run(path: Path, name: str) -> int:
    """Run a page's examples in order; returns how many there were."""
    found = examples(path.read_text(encoding="utf-8"))
    # A module by name, so that what the page defines can be pickled within this process.
    page = ModuleType(name)
    sys.modules[name] = page
    try:
        with asyncio.Runner() as runner:
            for example in found:
                printed = _run(example, path, page, runner)
                if example.output is not None:
                    compare(example.output, printed, f"{path.name}:{example.line}")
    finally:
        del sys.modules[name]
    return len(found)


def _run(example: Example, path: Path, page: ModuleType, runner: asyncio.Runner) -> str:
    # Blank lines in front let a traceback show the page's own line numbers.
    source = "\n" * (example.line - 1) + example.code
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(_awaited(code, page))
        else:
            exec(code, vars(page))
    return output.getvalue()


async def _awaited(code: object, page: ModuleType) -> None:
    await eval(code, vars(page))


def compare(expected: str, printed: str, where: str) -> None:
    wanted, got = _lines(expected), _lines(printed)
    for number, line in enumerate(wanted):
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        actual = got[number] if number < len(got) else "(nothing more)"
        assert re.fullmatch(pattern, actual), f"{where}: expected {line!r}, got {actual!r}"
    assert len(got) == len(wanted), f"{where}: printed more: {got[len(wanted) :]!r}"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
