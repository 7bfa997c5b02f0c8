"""Whole programs that use a pool: functions in `__main__`, Ctrl-C, SIGKILL, fork."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.workers.steps import PATIENCE, gone, wait_until_stopped

ROOT = Path(__file__).parents[2]


class Program:
    """A script that runs a pool, in a session of its own."""

    def __init__(self, folder: Path, text: str) -> None:
        script = folder / "script.py"
        script.write_text(textwrap.dedent(text))
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def line(self) -> str:
        """The next line it prints."""
        output = self.process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], PATIENCE)
        assert ready, "the script prints nothing"
        return output.readline().strip()

    def pids(self) -> list[int]:
        return [int(word) for word in self.line().split()]

    def end(self) -> tuple[int, str, str]:
        output, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output, errors


@pytest.fixture
def program(tmp_path: Path) -> Iterator:
    programs: list[Program] = []

    def start(text: str) -> Program:
        programs.append(Program(tmp_path, text))
        return programs[-1]

    yield start
    for each in programs:
        pipes: list[IO[str] | None] = [each.process.stdin, each.process.stdout, each.process.stderr]
        each.process.kill()
        each.process.wait()
        for pipe in pipes:
            if pipe is not None:
                pipe.close()


def test_functions_and_classes_of_the_script(program):
    status, output, errors = program(
        """
        from dataclasses import dataclass
        from penstock import WorkerPool

        @dataclass
        class Point:
            x: int

        class Wrong(Exception):
            pass

        def move(point):
            if point.x < 0:
                raise Wrong(f"{point.x} is left of all")
            return Point(point.x + 1)

        if __name__ == "__main__":
            with WorkerPool(workers=2) as pool:
                print(pool.submit(move, Point(1)).result())
                print(list(pool.map(move, [Point(2), Point(3)])))
                try:
                    pool.submit(move, Point(-1)).result()
                except Wrong as error:
                    print(error)
        """
    ).end()
    assert (status, errors) == (0, "")
    assert output.split("\n") == ["Point(x=2)", "[Point(x=3), Point(x=4)]", "-1 is left of all", ""]


def test_a_script_without_the_guard_is_told_so_and_ends(program):
    status, output, errors = program(
        """
        from penstock import WorkerPool

        def double(value):
            return 2 * value

        with WorkerPool(workers=1) as pool:
            print(pool.submit(double, 1).result())
        """
    ).end()
    assert status == 1
    assert output == ""
    assert "was started while a worker loads" in errors
    assert 'put what starts the pool below `if __name__ == "__main__":`' in errors


def test_a_script_from_standard_input_has_no_functions_to_find():
    text = (
        "from penstock import WorkerPool\n"
        "def double(value): return 2 * value\n"
        "with WorkerPool(workers=1) as pool:\n"
        "    print(pool.submit(abs, -3).result())\n"
        "    print(type(pool.submit(double, 1).exception()).__name__)\n"
        "    print(pool.submit(abs, -4).result())\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "AttributeError", "4"]


BUSY = """
    import re, subprocess, sys
    from penstock import WorkerPool
    from tests.workers import tasks

    if __name__ == "__main__":
        with WorkerPool(workers=3) as pool:
            pool.submit(tasks.hold_interpreter, sys.argv[0] + ".a")
            pool.submit(tasks.with_grandchild, sys.argv[0] + ".b", sys.argv[0] + ".c")
            with open(sys.argv[0] + ".a") as pipe: spinning = pipe.read()
            with open(sys.argv[0] + ".b") as pipe: grandchild = pipe.read(10)
            print(*pool.pids(), grandchild, flush=True)
            pool.submit(tasks.hold, sys.argv[0] + ".d", sys.argv[0] + ".e").result()
"""


@pytest.fixture
def busy(program, tmp_path: Path) -> tuple[Program, list[int]]:
    """A pool one worker of which never lets the interpreter go, while another has a child."""
    for pipe in "abcde":
        os.mkfifo(tmp_path / f"script.py.{pipe}")
    started = program(BUSY)
    pids = started.pids()
    assert len(pids) == 5
    return started, pids


def test_when_the_pools_process_is_killed_all_of_its_processes_end(busy):
    program, pids = busy
    program.process.kill()
    # Within a second on an idle machine; what is asserted is that they end by themselves.
    assert [pid for pid in pids if not gone(pid)] == []


def test_when_the_pools_process_is_killed_and_its_zygote_too(busy):
    program, pids = busy
    os.kill(pids[0], signal.SIGKILL)
    program.process.kill()
    assert [pid for pid in pids if not gone(pid)] == []


def test_when_the_pools_process_exits_at_once(program):
    started = program(
        """
        import os
        from penstock import WorkerPool

        if __name__ == "__main__":
            pool = WorkerPool(workers=2)
            pool.__enter__()
            pool.submit(abs, -1).result()
            print(*pool.pids(), flush=True)
            os._exit(5)
        """
    )
    pids = started.pids()
    assert started.end()[0] == 5
    assert [pid for pid in pids if not gone(pid)] == []


def test_a_pool_that_is_never_left_does_not_keep_the_program(program):
    started = program(
        """
        from penstock import WorkerPool

        if __name__ == "__main__":
            pool = WorkerPool(workers=2)
            pool.__enter__()
            pool.submit(abs, -1).result()
            print(*pool.pids(), flush=True)
        """
    )
    pids = started.pids()
    status, _, _ = started.end()
    assert status == 0
    assert [pid for pid in pids if not gone(pid)] == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_program_and_only_it_says_so(busy, times):
    program, pids = busy
    for _ in range(times):
        os.killpg(program.process.pid, signal.SIGINT)
    status, _, errors = program.end()
    assert status == -signal.SIGINT
    assert errors.count("Traceback (most recent call last)") <= times
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "penstock-pool" not in errors
    assert [pid for pid in pids if not gone(pid)] == []


def test_ctrl_c_under_asyncio(program):
    started = program(
        """
        import asyncio, signal
        from penstock import WorkerPool
        from tests.workers import tasks

        async def main():
            async with WorkerPool(workers=2) as pool:
                print(*pool.pids(), flush=True)
                await pool.run(tasks.kill_self, signal.SIGSTOP)

        if __name__ == "__main__":
            asyncio.run(main())
        """
    )
    pids = started.pids()
    os.killpg(started.process.pid, signal.SIGINT)
    status, _, errors = started.end()
    assert status == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert [pid for pid in pids if not gone(pid)] == []


def test_ctrl_c_while_the_block_waits_for_the_last_tasks(program):
    started = program(
        """
        import signal
        from penstock import WorkerPool
        from tests.workers import tasks

        if __name__ == "__main__":
            try:
                with WorkerPool(workers=1) as pool:
                    pool.submit(tasks.kill_self, signal.SIGSTOP)
                    print(*pool.pids(), flush=True)
            except KeyboardInterrupt:
                print(pool.statistics().workers)
        """
    )
    pids = started.pids()
    # The main thread is in `with`'s end as soon as the worker has stopped itself.
    wait_until_stopped(pids[1])
    os.kill(started.process.pid, signal.SIGINT)
    assert started.end() == (0, "0\n", "")
    assert [pid for pid in pids if not gone(pid)] == []


def test_a_forked_child_has_no_part_in_the_pool(program, tmp_path: Path):
    for pipe in "ab":
        os.mkfifo(tmp_path / f"script.py.{pipe}")
    status, output, errors = program(
        """
        import os, sys
        from penstock import WorkerPool
        from penstock.errors import Misuse
        from tests.workers import tasks

        def refused(call, *arguments):
            try:
                call(*arguments)
            except Misuse as error:
                print(call.__name__, "belongs to process" in str(error), flush=True)

        if __name__ == "__main__":
            with WorkerPool(workers=1) as pool:
                before = pool.pids()
                future = pool.submit(tasks.hold, sys.argv[0] + ".a", sys.argv[0] + ".b", "held")
                with open(sys.argv[0] + ".a") as pipe:
                    pipe.read()
                with pool._engine.lock:  # as another thread may hold it at the fork
                    child = os.fork()
                if child == 0:
                    refused(pool.submit, abs, -1)
                    refused(pool.statistics)
                    refused(pool.pids)
                    refused(pool.kill_workers)
                    refused(pool.shutdown)
                    refused(future.cancel)
                    with WorkerPool(workers=1) as own:
                        print(own.submit(abs, -7).result(), flush=True)
                    sys.exit(3)  # through the block's end
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
                with open(sys.argv[0] + ".b", "w") as pipe:
                    pipe.write(".")
                print(future.result(), pool.pids() == before)
        """
    ).end()
    assert errors == ""
    assert status == 0
    names = ["submit", "statistics", "pids", "kill_workers", "shutdown", "cancel"]
    assert output.split("\n") == [*(f"{name} True" for name in names), "7", "3", "held True", ""]
