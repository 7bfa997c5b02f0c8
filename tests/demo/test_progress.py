"""Progress goes to stderr: bars on a terminal, a line a second elsewhere, nothing if quiet."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from penstock.demo.progress import shown_progress
from penstock.demo.run import Sample
from tests.demo.rebookings import moments

SHOW = """
from penstock.demo.progress import shown_progress
from penstock.demo.run import Sample
with shown_progress(quiet=False) as show:
    show(Sample(0.5, 500_000, 1_000_000, 2_000, 1_000, None, 0, 0))
    show(Sample(1.0, 1_000_000, 1_000_000, 4_000, 4_000, None, 0, 0))
"""


SECOND_HALF = """
from penstock.demo.progress import shown_progress
from penstock.demo.rebooking.outcome import Moment
with shown_progress(quiet=False) as show:
    show(Moment(2.0, 100, 25, 12, 3, 1, 3, 1, 2))
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


def on_a_terminal(program):
    """What `program` draws on a terminal of 80 columns; it must leave stdout alone."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stderr=theirs, stdout=subprocess.PIPE, env=environment
        )
        out, _ = child.communicate()
    finally:
        os.close(theirs)
    assert (child.returncode, out) == (0, b"")
    shown = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # how Linux says that the other side is gone
            pass
    return shown.decode()


def test_bars_on_a_terminal():
    text = on_a_terminal(SHOW)
    assert "read" in text
    assert "1.0 MB of 1.0 MB" in text
    assert "4,000 lines" in text
    assert "4,000 flights" in text


def test_lines_of_the_second_half_have_a_clock_of_their_own(capfd):
    with shown_progress(quiet=False) as show:
        for sample in samples(35):
            show(sample)
        for moment in moments(25):
            show(moment)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[3] == (
        "penstock demo: 3,669 of 8,255 sagas ended, 2,282 confirmed, 1,387 refused, "
        "2,331 events delivered, 19 dead letters, 142 MB of memory"
    )


def test_bars_of_the_second_half_need_no_first_one():
    text = on_a_terminal(SECOND_HALF)
    assert "parsed" not in text
    for words in (
        "settled",
        "40 of 100",
        "confirmed",
        "25 flights",
        "refused",
        "12 flights",
        "parked",
        "3 flights",
        "delivered",
        "30 events",
        "2 dead",
    ):
        assert words in text
