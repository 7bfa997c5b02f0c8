"""The loop that runs on a thread, found without asking the system: always asyncio's own answer."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
import uvloop

from penstock._native import running_loop_reader

official = asyncio._get_running_loop


@pytest.fixture(scope="module")
def running_loop():
    return running_loop_reader(official, asyncio._set_running_loop)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio's own makes no system call")
def test_it_is_read_where_it_lies(running_loop):
    assert running_loop is not official
    assert running_loop.__name__ == "running_loop"


def test_none_runs_here(running_loop):
    assert running_loop() is None
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(running_loop).result() is None


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_loop_that_runs_here(running_loop, make):
    async def both():
        return running_loop(), official()

    for _ in range(3):
        with asyncio.Runner(loop_factory=make) as runner:
            found, expected = runner.run(both())
            assert found is expected is runner.get_loop()
        assert running_loop() is None


def test_loops_of_two_threads_are_told_apart(running_loop):
    both_run = threading.Barrier(2)

    async def look():
        both_run.wait(10)
        found = running_loop(), official()
        both_run.wait(10)
        return found

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(asyncio.run, look()) for _ in range(2)]
        (one, one_official), (other, other_official) = [each.result() for each in futures]
    assert one is one_official
    assert other is other_official
    assert one is not other


def test_none_in_trio(running_loop):
    async def look():
        return running_loop()

    assert trio.run(look) is None


def test_asking_while_a_loop_runs_leaves_it_running():
    async def look():
        before = asyncio.get_running_loop()
        found = running_loop_reader(official, asyncio._set_running_loop)()
        await asyncio.sleep(0)
        return found is before is asyncio.get_running_loop()

    assert asyncio.run(look())


def test_a_forked_child_has_no_loop_until_it_runs_one(running_loop):
    async def later():
        return running_loop() is official() is not None

    async def forked():
        pid = os.fork()
        if pid == 0:
            is_right = running_loop() is official() is None
            os._exit(0 if is_right and asyncio.run(later()) else 1)
        return pid

    assert os.waitpid(asyncio.run(forked()), 0)[1] == 0


def test_what_is_laid_out_otherwise_is_left_to_asyncio():
    """In a process of its own: what was found is kept."""
    script = (
        "from penstock._native import running_loop_reader\n"
        "get = lambda: 'theirs'\n"
        "assert running_loop_reader(get, lambda loop: None) is get\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script]) == 0
