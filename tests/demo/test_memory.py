"""Memory is the sum over the process and all it started."""

from __future__ import annotations

import os
import subprocess
import sys

from penstock.demo.memory import descendants, proportional_set_size

# Starts a child of its own, which takes 50 MB and says so; both end when their input does.
TREE = """
import subprocess, sys
leaf = "import sys; block = bytearray(50_000_000); block[::4096] = b'x' * len(block[::4096]);" \\
       "print('ready', flush=True); sys.stdin.read()"
subprocess.run([sys.executable, "-c", leaf])
"""


def test_grandchildren_count():
    tree = subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert tree.stdout.readline() == b"ready\n"
        family = list(descendants(os.getpid()))
        assert tree.pid in family
        assert len(family) >= 2
        assert proportional_set_size() > proportional_set_size(tree.pid) > 50_000_000
    finally:
        tree.communicate()
    assert tree.pid not in descendants(os.getpid())


def test_a_process_that_is_gone_has_no_descendants():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert list(descendants(child.pid)) == []
