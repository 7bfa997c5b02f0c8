"""`service.run()`: signals, endings and exit codes, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from penstock import Service
from penstock.errors import Misuse

PARTS = """
    import sys, anyio
    from penstock import Service

    class Part:
        def __init__(self, name, slow=False, error=None):
            self.name, self.slow, self.error = name, slow, error
        async def __aenter__(self):
            print("start", self.name, flush=True)
        async def __aexit__(self, kind, *_):
            try:
                print("drain" if kind is None else "cancelled", self.name, flush=True)
                if self.slow and kind is None:
                    await anyio.sleep_forever()
            except BaseException:
                print("cut", self.name, flush=True)
                raise
        async def watch(self):
            if self.error:
                raise self.error

    service = Service("orders", drain=1000)
"""

BACKENDS = ["asyncio", "uvloop", "trio"]


def start(program: str, warnings: str = "error") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", warnings, "-c", textwrap.dedent(PARTS) + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str], n: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip() for _ in range(n)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(backend: str, number: signal.Signals):
    process = start(f"""
        service.add(Part("a"), Part("b"))
        service.run({backend!r})
        print(service.state, flush=True)
    """)
    assert lines(process, 2) == ["start a", "start b"]
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (out.splitlines(), err) == (["drain b", "drain a", "stopped"], "")
    assert process.returncode == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(backend: str, number: signal.Signals):
    process = start(f"""
        service.add(Part("a"), Part("b", slow=True))
        service.run({backend!r})
    """)
    assert lines(process, 2) == ["start a", "start b"]
    process.send_signal(signal.SIGTERM)
    assert lines(process, 1) == ["drain b"]
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert set(out.splitlines()) == {"cut b", "cancelled a"}
    assert err == ""
    assert process.returncode == 128 + number


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_signals_end_a_start_that_hangs(backend: str):
    process = start(f"""
        class Hanging(Part):
            async def __aenter__(self):
                print("hangs", flush=True)
                await anyio.sleep_forever()

        service.add(Part("a"), Hanging("b"))
        service.run({backend!r})
    """)
    assert lines(process, 2) == ["start a", "hangs"]
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode in {128 + signal.SIGTERM, 128 + signal.SIGINT}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failing_part_ends_it_with_its_name(backend: str):
    process = start(f"""
        service.add(Part("a"), Part("b", error=LookupError("lost")))
        try:
            service.run({backend!r})
        except Exception as error:
            print(type(error).__name__, error, "|", repr(error.__cause__), flush=True)
    """)
    out, err = process.communicate(timeout=30)
    assert err == ""
    assert out.splitlines()[-1] == (
        "PartFailed part 'b' of service 'orders' failed: LookupError: lost | LookupError('lost')"
    )
    assert "drain a" in out


def test_it_can_end_itself():
    process = start("""
        class Ending(Part):
            async def watch(self):
                service.shutdown()

        service.add(Ending("a"))
        service.run()
    """)
    out, err = process.communicate(timeout=30)
    assert (out.splitlines(), err, process.returncode) == (["start a", "drain a"], "", 0)


def test_a_pool_is_a_part():
    program = """
        from penstock import WorkerPool
        pool = WorkerPool(workers=1)

        class User(Part):
            async def watch(self):
                print(await pool.run(divmod, 7, 3), flush=True)

        service.add(pool, User("user"))
        service.run()
    """
    # The processes of the pool inherit the option, and end with a socket open.
    process = start(program, warnings="default::DeprecationWarning")
    assert lines(process, 2) == ["start user", "(2, 1)"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (out.splitlines(), err, process.returncode) == (["drain user"], "", 0)


def test_run_belongs_to_the_main_thread():
    caught: list[BaseException] = []

    def run() -> None:
        try:
            Service("x").run()
        except Misuse as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])
