"""Progress goes to stderr: bars on a terminal, a line a second elsewhere, nothing if quiet."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from penstock.demo.progress import shown_progress
from penstock.demo.run import Sample

SHOW = """
from penstock.demo.progress import shown_progress
from penstock.demo.run import Sample
with shown_progress(quiet=False) as show:
    show(Sample(0.5, 500_000, 1_000_000, 2_000, 1_000, None, 0, 0))
    show(Sample(1.0, 1_000_000, 1_000_000, 4_000, 4_000, None, 0, 0))
"""


def samples(count):
    for n in range(1, count + 1):
        yield Sample(n / 10, n * 10_000, 1_000_000, n * 1000, n * 500, 80_000_000, 0, 1)


def test_a_line_a_second_when_it_is_no_terminal(capfd):
    with shown_progress(quiet=False) as show:
        for sample in samples(35):
            show(sample)
    out, err = capfd.readouterr()
    assert not out
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "penstock demo: 10\N{NO-BREAK SPACE}% read, 10,000 lines parsed, 5,000 flights analysed, "
        "10\N{NO-BREAK SPACE}k lines/s, 80 MB of memory"
    )


def test_quiet_says_nothing(capfd):
    with shown_progress(quiet=True) as show:
        for sample in samples(35):
            show(sample)
    assert capfd.readouterr() == ("", "")


def test_bars_on_a_terminal():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", SHOW], stderr=theirs, stdout=subprocess.PIPE, env=environment
        )
        out, _ = child.communicate()
    finally:
        os.close(theirs)
    shown = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # how Linux says that the other side is gone
            pass
    text = shown.decode()
    assert out == b""
    assert "read" in text
    assert "1.0 MB of 1.0 MB" in text
    assert "4,000 lines" in text
    assert "4,000 flights" in text
