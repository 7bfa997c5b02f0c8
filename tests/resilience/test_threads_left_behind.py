"""Blocking attempts whose caller has gone: by the deadline of an outer policy, or by Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from penstock import Deadline, Policy, Timeout
from penstock.resilience import DeadlineExceeded
from penstock.resilience.threads import Errand
from penstock.testing import FakeClock, capture


def test_an_outer_deadline_ends_the_wait_before_the_timeout_does():
    inner = Policy("inner", Timeout(60.0))
    (part,) = inner._parts
    gate = threading.Event()

    def hang():
        clock.advance(2.0)
        gate.wait()

    with FakeClock() as clock, capture("inner") as events:
        with pytest.raises(DeadlineExceeded, match="the attempt still running"):
            Policy("outer", Deadline(2.0)).call(inner.call, hang)
        assert part.abandoned == 1
    assert [event.kind for event in events] == ["abandoned", "exceeded"]
    gate.set()
    while part.abandoned:
        threading.Event().wait(0.001)


def test_ctrl_c_leaves_the_thread_behind_and_counts_it(monkeypatch):
    policy = Policy("interrupted", Timeout(60.0))
    (part,) = policy._parts
    gate, started = threading.Event(), threading.Event()

    def hang():
        started.set()
        gate.wait()

    def interrupted(_errand, _until):
        started.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(Errand, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        policy.call(hang)
    assert part.abandoned == 1
    gate.set()
    while part.abandoned:
        threading.Event().wait(0.001)


FORKED = """
import os
from penstock import Policy, Timeout

policy = Policy("forked", Timeout(5.0))
assert policy.call(int, "1") == 1  # its thread stays warm, and does not live in the child
child = os.fork()
if child == 0:
    os._exit(policy.call(int, "7"))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_gets_threads_of_its_own():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("7\n", "")
