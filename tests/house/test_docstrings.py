"""The examples in docstrings run, and print what they say they print.

They import nothing that `penstock` or their own room offers by name.
"""

from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path

import pytest

import penstock

PACKAGE = Path(penstock.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_there_are_some():
    assert "penstock.saga.definition" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    room = importlib.import_module(".".join(name.split(".")[:2]))
    names = {each: getattr(where, each) for where in (penstock, room) for each in where.__all__}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in found:
        runner.run(test, out=sys.stdout.write)
    assert runner.tries > 0
    assert runner.failures == 0
