"""No module of penstock turns the global lock of a free-threaded interpreter on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.loops import FREE_THREADED

PROGRAM = """
import importlib, pkgutil, sys
import penstock
for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        assert not missing.name.startswith("penstock"), missing   # an extra
print(sys._is_gil_enabled())
"""


@pytest.mark.skipif(not FREE_THREADED, reason="this interpreter has a global lock")
def test_every_module_leaves_the_lock_off():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
