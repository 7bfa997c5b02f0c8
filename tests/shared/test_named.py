"""Where there is no memfd: the same tests over nameless files of /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.groups import ROOT

ROOMS = (
    "tests/shared/test_arrays.py",
    "tests/shared/test_leases.py",
    "tests/shared/test_link.py",
    "tests/shared/test_names.py",
    "tests/shared/test_parked.py",
    "tests/shared/test_processes.py",
    "tests/workers/test_arrays.py",
)
SECONDS = 170


def leftovers() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if "penstock" in name}


@pytest.mark.timeout(SECONDS + 10)
@pytest.mark.parametrize("room", ROOMS)
def test_queues_links_and_pools_work_over_files(tmp_path: Path, room: str):
    before = leftovers()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--basetemp", str(tmp_path / "inner"), room],
        cwd=ROOT,
        env=os.environ | {"PENSTOCK_SEGMENTS": "named"},
        timeout=SECONDS,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    assert leftovers() == before


def made_of(choice: str) -> str:
    """What an arena is a mapping of."""
    script = """
from pathlib import Path
from penstock._native import Arena
arena = Arena(1 << 20)
lines = Path("/proc/self/maps").read_text().splitlines()
(line,) = [line for line in lines if " /memfd:" in line or " /dev/shm/" in line]
print(line.split()[5])
"""
    env = os.environ | {"PENSTOCK_SEGMENTS": choice}
    return subprocess.check_output([sys.executable, "-c", script], env=env, timeout=55, text=True)


def test_the_choice_reaches_the_segment():
    assert made_of("named").startswith("/dev/shm/")
    assert made_of("memfd").startswith("/memfd:penstock-arena")
    assert made_of("").startswith("/memfd:penstock-arena")


def test_an_unknown_choice_is_refused_by_name():
    script = "from penstock._native import Arena; Arena(1)"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PENSTOCK_SEGMENTS": "nmaed"},
        timeout=55,
        check=False,
        capture_output=True,
        text=True,
    )
    assert 'PENSTOCK_SEGMENTS is "nmaed": it can be memfd or named' in ended.stderr
