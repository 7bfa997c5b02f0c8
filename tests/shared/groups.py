"""A control group with a memory limit, for processes that shall meet it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 50

# The joined group counts what is touched from then on, so before anything is imported.
_JOIN = "import sys; open(sys.argv.pop(1), 'w').write('0'); "


class Group:
    """Made by `limited`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, script: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `script` by another interpreter, as a member of the group."""
        procs = self.folder / "cgroup.procs"
        return subprocess.run(
            [sys.executable, "-c", f"{_JOIN}exec(sys.argv[1])", str(procs), script],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            timeout=PATIENCE,
            check=False,
            capture_output=True,
            text=True,
        )


@contextlib.contextmanager
def limited(max_bytes: int) -> Iterator[Group]:
    """A group of version 1 or 2; the test is skipped where none can be made."""
    name = f"penstock-test-{uuid.uuid4().hex}"
    for top, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        folder = Path(top, name)
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir()
                stack.callback(_remove, folder)
                # Where memory is not this hierarchy's there is no such file, and none can be made.
                with (folder / limit).open("r+") as file:
                    file.write(str(max_bytes))
            except OSError:
                continue
            yield Group(folder)
            return
    pytest.skip("no control group can be made here")


def _remove(folder: Path) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        os.sched_yield()  # the last member is not quite out
