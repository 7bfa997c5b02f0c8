"""Signals, forks, the end of the interpreter, and what an import costs: each in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(program: str) -> str:
    process = start(program)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert not err
    return out


@pytest.mark.parametrize("call", ["get()", "get_many()", "get(timeout=1000)", "join()"])
@pytest.mark.parametrize("threads", [0, 2])
def test_ctrl_c_ends_a_blocking_wait_at_once(call, threads):
    process = start(f"""
        import threading, time
        from penstock import Queue
        queue = Queue()
        queue.put(0)
        if {call!r} != "join()":
            queue.get()
        stop = threading.Event()
        others = [threading.Thread(target=stop.wait) for _ in range({threads})]
        for other in others:
            other.start()
        print("waiting", flush=True)
        try:
            queue.{call}
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        stop.set()
        queue.put(1)
        print(queue.statistics().waiting_getters, queue.get_many()[-1])
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    # Wait until the main thread sleeps in its poll.
    deadline = time.monotonic() + 20
    while "poll" not in _wait_channel(process.pid):
        assert time.monotonic() < deadline, "the main thread does not sleep in ppoll"
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    seen, figures = out.splitlines()
    assert float(seen) - sent < 0.5, "it came with the safety timeout only"
    assert figures == "0 1"


def _wait_channel(pid: int) -> str:
    with open(f"/proc/{pid}/wchan") as file:
        return file.read()


def test_a_signal_handler_that_raises_nothing_lets_the_wait_go_on():
    process = start("""
        import signal
        from penstock import Queue
        queue = Queue()
        signal.signal(signal.SIGUSR1, lambda *_: queue.put("from the handler"))
        print("waiting", flush=True)
        print(queue.get())
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=20)
    assert (out, err) == ("from the handler\n", "")


def test_a_forked_child_is_told_and_does_not_hang():
    out = run("""
        import os, threading
        from penstock import Queue
        from penstock.errors import Misuse

        queue = Queue(2, name="orders")
        getters = [threading.Thread(target=queue.get) for _ in range(2)]
        for getter in getters:
            getter.start()
        while queue.statistics().waiting_getters < 2:
            pass
        pid = os.fork()
        if pid == 0:
            told = 0
            for call in (
                lambda: queue.put(1), lambda: queue.put_nowait(1), lambda: queue.put_many([1]),
                lambda: queue.get(), lambda: queue.get_nowait(), lambda: queue.get_many(),
                lambda: queue.aget(), lambda: queue.aput(1), lambda: queue.qsize(),
                lambda: queue.shutdown(), lambda: queue.join(), lambda: queue.statistics(),
                lambda: queue.task_done(), lambda: next(iter(queue)), lambda: len(queue),
            ):
                try:
                    call()
                except Misuse as misuse:
                    assert f"queue 'orders' belongs to process {os.getppid()}" in str(misuse)
                    told += 1
            assert "of process" in repr(queue)
            own = Queue()
            thread = threading.Thread(target=lambda: own.put(5))
            thread.start()
            own.get(timeout=10)
            thread.join()
            del queue
            print(told, flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        queue.put_many("ab")
        for getter in getters:
            getter.join()
    """)
    assert out == "15\n"


def test_a_loop_carried_over_a_fork_is_refused():
    out = run("""
        import os, trio
        from penstock import Queue
        from penstock.errors import Misuse

        async def main():
            queue = Queue()
            with trio.move_on_after(0.001):
                await queue.aget()
            if os.fork() == 0:
                try:
                    await Queue().aget()
                except Misuse as misuse:
                    print("before the fork" in str(misuse), flush=True)
                os._exit(0)
            os.wait()

        trio.run(main)
    """)
    assert out == "True\n"


@pytest.mark.parametrize("use", ["parked", "busy", "expiring"])
def test_the_interpreter_ends_beside_daemon_threads(use):
    body = {
        "parked": "queue.get()",
        "busy": "other.put(1); other.get()",
        "expiring": "queue.get(timeout=0.0001)",
    }[use]
    for _ in range(3):
        run(f"""
            import threading
            from penstock import Queue
            from penstock.queues import QueueEmpty
            queue, other = Queue(), Queue(1)
            started = threading.Event()
            def work():
                own = Queue(1)
                started.set()
                while True:
                    try:
                        {body.replace("other", "own")}
                    except QueueEmpty:
                        pass
            for _ in range(4):
                threading.Thread(target=work, daemon=True).start()
            started.wait()
        """)


def test_an_idle_wait_costs_nothing():
    process = start("""
        import threading
        from penstock import Queue
        queue = Queue()
        threads = [threading.Thread(target=queue.get, daemon=True) for _ in range(50)]
        for thread in threads:
            thread.start()
        while queue.statistics().waiting_getters < 50:
            pass
        print("waiting", flush=True)
        queue.get()
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    while "poll" not in _wait_channel(process.pid):
        pass
    with open(f"/proc/{process.pid}/stat") as file:
        before = sum(map(int, file.read().split()[13:15]))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    with open(f"/proc/{process.pid}/stat") as file:
        after = sum(map(int, file.read().split()[13:15]))
    process.kill()
    process.communicate()
    assert (after - before) / os.sysconf("SC_CLK_TCK") <= 0.02


def test_a_program_of_threads_loads_no_event_loop():
    run("""
        import sys, threading
        from penstock import Queue
        queue = Queue(1)
        thread = threading.Thread(target=queue.put_many, args=(range(10),))
        thread.start()
        assert [queue.get() for _ in range(10)] == list(range(10))
        thread.join()
        assert not {"asyncio", "trio", "anyio"} & sys.modules.keys()
    """)


@pytest.mark.parametrize(("runs", "other"), [("asyncio", "trio"), ("trio", "asyncio")])
def test_a_loop_of_one_kind_does_not_load_the_other(runs, other):
    run(f"""
        import sys, {runs}
        from penstock import Queue
        before = {other!r} in sys.modules
        queue = Queue(1)
        async def main():
            queue.put(1)
            return await queue.aget()
        assert {runs}.run({"main()" if runs == "asyncio" else "main"}) == 1
        assert ({other!r} in sys.modules) == before
    """)


def test_a_task_of_one_loop_goes_on_while_a_thread_imports_the_other():
    run("""
        import asyncio, threading
        from penstock import Queue

        queue = Queue(1)
        imported = threading.Event()
        errors = []

        async def main():
            async def put():
                while not imported.is_set():
                    await queue.aput(1)
                queue.shutdown()

            async def get():
                async for _ in queue:
                    pass

            await asyncio.gather(put(), get())

        def loop():
            try:
                asyncio.run(main())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=loop)
        thread.start()
        while queue.statistics().put < 10 and thread.is_alive():
            pass
        import trio
        imported.set()
        thread.join()
        assert not errors, errors
    """)


@pytest.mark.parametrize("loaded", ["", "import penstock"])
@pytest.mark.parametrize("isolated", [True, False])
def test_a_subinterpreter_is_told(loaded, isolated):
    out = run(f"""
        import sys
        {loaded}
        program = '''if True:
            try:
                import penstock
            except ImportError as error:
                print(error.name, "|", error, "|", *error.__notes__, flush=True)
            '''
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
            other = interpreters.create("isolated" if {isolated} else "legacy")
        else:
            import _xxsubinterpreters as interpreters
            other = interpreters.create(isolated={isolated})
        interpreters.run_string(other, program)
        interpreters.destroy(other)
        from penstock import Queue
        from penstock.queues import QueueEmpty
        try:
            Queue().get_nowait()
        except QueueEmpty:
            pass
    """)
    name, complaint, hint = out.rstrip().split(" | ")
    assert name == "penstock"
    assert complaint == "penstock works in the main interpreter only, and this is subinterpreter 1"
    assert hint.startswith("hint: use a thread of the main interpreter or a process of its own")
