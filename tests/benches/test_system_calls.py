"""Counting from outside: every call of every thread, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benches.environment import ROOT
from benches.refusal import Refusal
from benches.system_calls import can_be_counted, counted

# In a process of its own, where no other test has left a thread that writes.
PROGRAM = """
import os
from threading import Thread
from benches.system_calls import counted

nowhere = os.open(os.devnull, os.O_WRONLY)

def write(times):
    for _ in range(times):
        os.write(nowhere, b"x")

write(1)
with counted(["write"]) as found:
    threads = [Thread(target=write, args=(7,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    write(2)
    os.getppid()
    for thread in threads:
        thread.join()
write(1)
print(found)
"""


@pytest.mark.skipif(not can_be_counted(), reason="no strace that may trace")
def test_the_calls_of_all_threads_are_counted_and_no_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[23]\n"


def test_a_tracer_that_may_not_trace_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "strace"
    refusing.write_text("#!/bin/sh\necho 'attach: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Refusal, match="Operation not permitted"), counted(["write"]):
        pytest.fail("nothing is counted")
