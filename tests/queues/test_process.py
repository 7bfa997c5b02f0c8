"""Signals, forks, and what an import costs: each in its own process."""

from __future__ import annotations

import signal
import sys
import time
from importlib.util import find_spec

import pytest

from tests.loops import FREE_THREADED, LOOPS
from tests.queues.programs import backend, run, started


@pytest.mark.parametrize(
    "call",
    [
        "empty.get()",
        "empty.get(timeout=1000)",
        "empty.get_many()",
        "empty.get_many(4, min=3)",
        "empty.peek()",
        "next(iter(empty))",
        "select_blocking(empty, other)",
        "empty.sync_q.get()",
        "full.put(1)",
        "full.put_many([1, 2])",
        "full.reserve()",
        "full.join()",
    ],
)
@pytest.mark.parametrize("threads", [0, 2])
def test_ctrl_c_ends_a_blocking_wait_at_once(call, threads):
    program = f"""
        import threading, time
        from penstock import PriorityQueue, Queue
        from penstock.queues import select_blocking
        empty, other, full = Queue(), PriorityQueue(), Queue(1)
        full.put(0)
        stop = threading.Event()
        others = [threading.Thread(target=stop.wait) for _ in range({threads})]
        for thread in others:
            thread.start()
        print("waiting", flush=True)
        try:
            {call}
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        stop.set()
        figures = [queue.statistics() for queue in (empty, other, full)]
        empty.put(1)
        print(sum(each.waiting_getters + each.waiting_putters for each in figures), end=" ")
        print(empty.get_many(), full.get_many(), full.statistics().reserved)
    """
    with started(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        # Wait until the main thread sleeps in its poll.
        while "poll" not in _wait_channel(process.pid):
            assert process.poll() is None, "it does not wait"
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 0, err
    seen, figures = out.splitlines()
    assert float(seen) - sent < 0.5, "it came with the safety timeout only"
    assert figures == "0 [1] [0] 0"


def _wait_channel(pid: int) -> str:
    with open(f"/proc/{pid}/wchan") as file:
        return file.read()


def test_a_signal_handler_that_raises_nothing_lets_the_wait_go_on():
    program = """
        import signal
        from penstock import Queue
        queue = Queue()
        signal.signal(signal.SIGUSR1, lambda *_: queue.put("from the handler"))
        print("waiting", flush=True)
        print(queue.get())
    """
    with started(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate()
    assert (out, err) == ("from the handler\n", "")


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_forked_child_is_told_and_does_not_hang(kind, fair):
    out = run(f"""
        import os, threading
        from penstock import {kind}, Queue, select
        from penstock.errors import Misuse
        from penstock.queues import select_blocking

        queue, own = {kind}(2, name="orders", fair={fair}), Queue(2, name="own")
        getters = [threading.Thread(target=queue.get) for _ in range(2)]
        for getter in getters:
            getter.start()
        while queue.statistics().waiting_getters < 2:
            pass
        place, threads_items, tasks_items = queue.reserve(), iter(queue), aiter(queue)
        arguments = {{
            "put": (1,), "put_nowait": (1,), "aput": (1,), "put_many": ([1],), "aput_many": ([1],),
        }}

        def entries():
            views = {{"": queue, "sync_q.": queue.sync_q, "async_q.": queue.async_q}}
            for prefix, view in views.items():
                for name in dir(view):
                    # These two say the same of every queue.
                    if name.startswith("_") or name in ("peekable", "clearable"):
                        continue
                    if callable(getattr(type(view), name)):
                        method = getattr(view, name)
                        yield prefix + name, lambda: method(*arguments.get(name, ()))
                yield prefix + "maxsize", lambda: setattr(view, "maxsize", 4)
                yield prefix + "is_shutdown", lambda: view.is_shutdown
                yield prefix + "len", lambda: len(view)
            yield "place.put", lambda: place.put(1)
            yield "next", lambda: next(threads_items)
            yield "anext", lambda: anext(tasks_items)
            yield "iter", lambda: list(queue)
            yield "select", lambda: select(own, queue)
            yield "select_blocking", lambda: select_blocking(own, queue)

        def child():
            own = Queue(2, name="of the child")
            told = 0
            for name, call in entries():
                try:
                    call()
                except Misuse as misuse:
                    told += 1
                    complaint = f"belongs to process {{os.getppid()}}, of which this is a fork"
                    assert complaint in str(misuse), name
                    assert "'orders'" in str(misuse) or "'own'" in str(misuse), name
                    assert "make a new Queue in the child" in misuse.hint, name
                else:
                    raise AssertionError(f"{{name}} says nothing")
            assert f"of process {{os.getppid()}}" in repr(queue)
            assert queue
            place.release()
            thread = threading.Thread(target=lambda: own.put(5))
            thread.start()
            assert own.get(timeout=10) == 5
            thread.join()
            print(told, flush=True)

        pid = os.fork()
        if pid == 0:
            try:
                child()
            except BaseException as error:
                print(repr(error), flush=True)
            del queue, place, threads_items, tasks_items
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert queue.statistics().reserved == 1, "the child gave it back"
        place.release()
        queue.put_many("ab")
        for getter in getters:
            getter.join()
    """)
    assert out.strip().isdecimal(), out
    assert int(out) >= 60, "there are more entries than that"


@pytest.mark.parametrize("name", LOOPS)
def test_a_forked_child_has_queues_and_loops_of_its_own(name):
    out = run(f"""
        import os, sys, threading
        import anyio
        from penstock import Queue

        {backend(name)}
        queue = Queue(1)

        async def main(queue):
            threading.Thread(target=queue.put, args=("from a thread",)).start()
            return await queue.aget()

        assert anyio.run(main, queue, **backend) == "from a thread"
        pid = os.fork()
        if pid == 0:
            print(anyio.run(main, Queue(1), **backend), flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert anyio.run(main, queue, **backend) == "from a thread"
    """)
    assert out == "from a thread\n"


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_carried_over_a_fork_is_refused(name):
    out = run(f"""
        import os
        import anyio
        from penstock import Queue
        from penstock.errors import Misuse
        from penstock.queues import QueueEmpty

        {backend(name)}

        async def main():
            try:
                await Queue().aget(timeout=0.001)
            except QueueEmpty:
                pass
            if os.fork() == 0:
                try:
                    await Queue().aget()
                except Misuse as misuse:
                    print(misuse, "|", misuse.hint, flush=True)
                os._exit(0)
            os.wait()

        anyio.run(main, **backend)
    """)
    complaint, hint = out.split(" | ")
    # asyncio and uvloop take care themselves that no loop runs in the child.
    expected = "this event loop was started before the fork" if name == "trio" else "no event loop"
    assert expected in complaint
    assert ("start a new event loop" in hint) or ("await inside asyncio" in hint)


@pytest.mark.skipif(FREE_THREADED, reason="what dies elsewhere is handed to the thread it is from")
def test_items_are_released_under_the_interpreters_lock():
    # The debugging allocator ends the process when memory goes back to it without the lock.
    out = run(
        """
        import asyncio, gc, threading
        from penstock import LifoQueue, PriorityQueue, Queue
        from penstock.queues import QueueFull

        released = {}
        gc.disable()

        class Item:
            def __init__(self, where):
                self.where, self.load = where, [bytes(600) for _ in range(9)]

            def __lt__(self, other):
                return id(self) < id(other)

            def __del__(self):
                released.setdefault(self.where, []).append(threading.current_thread().name)

        def filled(kind, maxsize, where):
            queue = kind(maxsize)
            queue.put_many(Item(where) for _ in range(20))
            return queue

        def elsewhere(function, *arguments):
            thread = threading.Thread(target=function, args=arguments, name="thread")
            thread.start()
            thread.join()

        def dropped_by_a_waiter(queues):
            queue = queues.pop()
            try:
                queue.put(Item("dropped by a waiter"), timeout=0.01)
            except QueueFull:
                pass

        async def dropped_with_its_tasks(kind):
            queue = filled(kind, 20, "dropped with its tasks")
            task = asyncio.create_task(queue.aput(Item("dropped with its tasks")))
            while not queue.statistics().waiting_putters:
                await asyncio.sleep(0)

        for kind in (Queue, LifoQueue, PriorityQueue):
            for maxsize in (0, 64):
                queue = filled(kind, maxsize, "dropped")
                del queue
                queues = [filled(kind, maxsize, "dropped in a thread")]
                elsewhere(queues.clear)
                queue = filled(kind, maxsize, "cleared")
                elsewhere(queue.clear)
                queue = filled(kind, maxsize, "shut down")
                elsewhere(queue.shutdown, True)
                queue = filled(kind, maxsize, "in a circle")
                item = Item("in a circle")
                item.queue = queue
                queue.put(item)
                del queue, item
                elsewhere(gc.collect)
            elsewhere(dropped_by_a_waiter, [filled(kind, 20, "dropped by a waiter")])
            asyncio.run(dropped_with_its_tasks(kind))
            gc.collect()
        for where, threads in released.items():
            print(f"{where}: {len(threads)}", *sorted(set(threads)))
        """,
        PYTHONMALLOC="debug",
    )
    assert out.splitlines() == [
        "dropped: 120 MainThread",
        "dropped in a thread: 120 thread",
        "cleared: 120 thread",
        "shut down: 120 thread",
        "in a circle: 126 thread",
        "dropped by a waiter: 63 thread",
        "dropped with its tasks: 63 MainThread",
    ]


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


@pytest.mark.parametrize("name", LOOPS)
def test_a_thousand_queues_cost_one_descriptor(name):
    run(f"""
        import os, threading
        import anyio
        from penstock import LifoQueue, PriorityQueue, Queue, select

        {backend(name)}
        kinds = (Queue, LifoQueue, PriorityQueue)

        def descriptors():
            return len(os.listdir("/proc/self/fd"))

        try:
            os.close(os.eventfd(0))
            bell = 1
        except OSError:
            bell = 2  # the ends of a pipe, where a sandbox knows no eventfd

        async def main():
            queues = [kinds[number % 3](1) for number in range(1000)]
            for queue in queues[:300]:
                queue.put(0)
            before = descriptors()
            async with anyio.create_task_group() as group:
                for number, queue in enumerate(queues):
                    if number < 300:
                        group.start_soon(queue.aput, 1)
                    else:
                        group.start_soon(queue.aget)
                    if number == 0:
                        while not queue.statistics().waiting_putters:
                            await anyio.lowlevel.checkpoint()
                        assert descriptors() == before + bell, "the first one"
                group.start_soon(select, *queues[600:])
                while queues[-1].statistics().waiting_getters < 2:
                    await anyio.lowlevel.checkpoint()
                waiting = [queue.statistics() for queue in queues]
                assert all(each.waiting_getters + each.waiting_putters for each in waiting)
                assert descriptors() == before + bell
                group.cancel_scope.cancel()
            assert descriptors() == before + bell

        anyio.run(main, **backend)
        outside = descriptors()
        anyio.run(main, **backend)
        assert descriptors() == outside, "left behind"
    """)


@pytest.mark.skipif(
    find_spec("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters") is None,
    reason="this Python was built without subinterpreters",
)
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


def test_what_the_parent_began_is_refused_in_the_child():
    out = run("""
        import asyncio, os
        from penstock import Queue, select
        from penstock.errors import Misuse

        queue, empty, own = Queue(2, name="orders"), Queue(2, name="orders"), Queue(2)
        queue.put(7)
        begun = [
            queue.aget(), queue.aget_many(), queue.apeek(), queue.aput(1), queue.aput_many([1]),
            queue.areserve(), queue.ajoin(), aiter(queue).__anext__(), empty.aget(),
            select(own, queue),
        ]
        if os.fork() == 0:
            told = 0
            for operation in begun:
                try:
                    print(asyncio.run(asyncio.wait_for(operation, 1)))
                except Misuse as misuse:
                    told += "belongs to process" in str(misuse)
                except BaseException as error:
                    print(repr(error))
            print(told, flush=True)
            os._exit(0)
        os.wait()
        for operation in begun:
            operation.close()
    """)
    assert out == "10\n"
