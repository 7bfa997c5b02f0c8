"""States that processes share: found by name, kept through forks, freed by death."""

import os
import signal
import subprocess
import sys
import time

import pytest

from penstock._native import BreakerState, ConcurrencyState

CEILING = 300.0


def script(text, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLD = """
import sys
from penstock._native import ConcurrencyState
permits = ConcurrencyState(limit=2, name=sys.argv[1])
permits.acquire(), permits.acquire()
print("held", flush=True)
sys.stdin.read()
"""

FAIL = """
import sys
from penstock._native import BreakerState
breaker = BreakerState(failure_threshold=3, name=sys.argv[1])
for _ in range(3):
    breaker.record(breaker.acquire(), False)
print(breaker.state, flush=True)
"""


def files(name):
    return [it for it in os.listdir("/dev/shm") if it.endswith(name)]


def test_a_process_started_by_itself_finds_the_breaker_and_opens_it(table_name):
    breaker = BreakerState(failure_threshold=3, name=table_name)
    assert breaker.acquire() is not None
    with script(FAIL, table_name) as process:
        assert process.communicate()[0].strip() == "open"
    assert breaker.acquire() is None
    assert breaker.snapshot()["pids"] == [os.getpid()], "the other has left"
    breaker.close()
    assert files(table_name) == []


def test_what_a_killed_process_held_is_free_again(table_name):
    permits = ConcurrencyState(limit=2, name=table_name)
    with script(HOLD, table_name) as process:
        assert process.stdout.readline().strip() == "held"
        assert permits.acquire() is None
        process.send_signal(signal.SIGKILL)
        end = time.monotonic() + CEILING
        while (permit := permits.acquire()) is None:
            assert time.monotonic() < end
        assert permits.release(permit)
    permits.close()


def test_the_interpreters_end_leaves_nothing(table_name):
    with script(FAIL, table_name) as process:
        process.communicate()
    assert process.returncode == 0
    assert files(table_name) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_takes_part_as_itself(table_name):
    permits = ConcurrencyState(limit=1, name=table_name)
    permit = permits.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            facts = [permits.release(permit), permits.acquire(), sorted(permits.snapshot()["pids"])]
            expected = [False, None, sorted([os.getpid(), os.getppid()])]
            os.write(writing, b"good" if facts == expected else repr(facts).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"good"
    os.close(reading)
    os.close(writing)
    assert permits.release(permit)
    assert permits.snapshot()["pids"] == [os.getpid()]
    permits.close()
    assert files(table_name) == []
