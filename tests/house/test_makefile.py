"""`make` tells what it can do, and what is missing, in one line with the remedy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "PYTHON"))
    }
    if path is not None:
        environment["PATH"] = str(path)
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_prints_its_targets_with_a_line_each():
    printed = make().stdout
    for target in ("demo", "test", "bench", "chaos", "docs", "doctor", "format", "clean"):
        assert re.search(rf"^  make {target} +\S.{{10,}}$", printed, re.MULTILINE), target
    assert max(map(len, printed.splitlines())) <= 110


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the shell's own tools and a working cargo, cc and python3 to take away."""
    for tool in ("sh", "awk", "find", "echo", "uname"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    for tool in ("cargo", "cc"):
        (tmp_path / tool).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / tool).chmod(0o755)
    return tmp_path


PYTHON = f"PYTHON={os.path.realpath(sys.executable)}"


def test_all_tools_there(bare_path: Path):
    done = make("tools", PYTHON, path=bare_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("tool", "remedy"), [("cargo", "https://rustup.rs"), ("cc", "apt-get install gcc")]
)
def test_a_missing_tool_is_named_with_its_remedy(bare_path: Path, tool: str, remedy: str):
    (bare_path / tool).unlink()
    done = make("tools", PYTHON, path=bare_path)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("penstock: ")]
    assert len(said) == 1
    assert f'"{tool}" does not run' in said[0]
    assert remedy in said[0]


@pytest.mark.parametrize("arguments", [("tools",), ("tools", "PYTHON=old")])
def test_no_python_that_is_new_enough(bare_path: Path, arguments: tuple[str, ...]):
    for name in ("old", "python3"):
        (bare_path / name).write_text("#!/bin/sh\nexit 1\n")
        (bare_path / name).chmod(0o755)
    done = make(*arguments, path=bare_path)
    assert done.returncode == 2
    assert "penstock: no Python 3.11 or newer" in done.stderr
    assert "make PYTHON=/path/to/python3.11" in done.stderr


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("exit 1", "no <zlib.h>. On Debian and Ubuntu: apt-get install zlib1g-dev"),
        ("exit 0", 'no "apt-get": the source is taken from an archive of Debian'),
    ],
)
def test_what_a_free_threaded_python_lacks_is_named(bare_path: Path, compiler: str, said: str):
    for tool in ("cat", "mkdir"):
        (bare_path / tool).symlink_to(shutil.which(tool))
    (bare_path / "cc").write_text(f"#!/bin/sh\ncat >/dev/null\n{compiler}\n")
    done = subprocess.run(
        [ROOT / "scripts" / "free-threaded-python", bare_path / "built"],
        env={"PATH": str(bare_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"penstock: {said}\n"
