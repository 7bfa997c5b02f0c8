"""Across processes: SIGKILL, SIGSTOP, two at once, forks, an exit without closing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import anyio
import anyio.to_thread
import pytest

from penstock import Message, MessageQueue
from penstock.errors import Misuse

CONSUMER = """
    import sys, anyio
    from penstock import MessageQueue

    async def main():
        async def handle(message):
            print(message.data, message.attempt, message.fence, flush=True)
            if sys.argv[2] == "hold":
                await anyio.sleep_forever()
        await MessageQueue("a", sys.argv[1], lease=float(sys.argv[3])).consume(
            handle, concurrency=1, prefetch=0
        )

    anyio.run(main)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


async def line_of(process: subprocess.Popen[str]) -> list[int]:
    line = await anyio.to_thread.run_sync(process.stdout.readline)
    return [int(word) for word in line.split()]


async def test_a_killed_consumer_is_taken_over_after_its_lease(file, start, until):
    async with MessageQueue("a", file) as queue:
        await queue.enqueue_many([1, 2], key="k")
        first = start(CONSUMER, file, "hold", "1.0")
        data, attempt, fence = await line_of(first)
        assert (data, attempt) == (1, 1)
        first.send_signal(signal.SIGKILL)
        first.wait()
        second = start(CONSUMER, file, "handle", "600")
        again = await line_of(second)
        assert again[:2] == [1, 2], "the claim counted as an attempt"
        assert again[2] > fence
        assert (await line_of(second))[:2] == [2, 1], "and the key goes on in order"
        await until(queue, depth=0)


async def test_a_stopped_consumer_is_fenced_when_it_goes_on(file, start, until):
    async with MessageQueue("a", file, lease=600.0) as queue:
        await queue.enqueue(1)
        zombie = start(
            """
            import os, signal, sys, anyio
            from penstock import MessageQueue

            async def main():
                async def handle(message):
                    print(message.data, flush=True)
                    if message.attempt == 1:
                        os.kill(os.getpid(), signal.SIGSTOP)
                    print(int(message.is_fenced), flush=True)

                await MessageQueue("a", sys.argv[1], lease=1.0).consume(handle)

            anyio.run(main)
            """,
            file,
        )
        assert await line_of(zombie) == [1]
        begun, go = anyio.Event(), anyio.Event()
        attempts = []

        async def handle(message: Message[int]) -> None:
            attempts.append(message.attempt)
            begun.set()
            await go.wait()

        async with queue.consumer(handle):
            await begun.wait()
            zombie.send_signal(signal.SIGCONT)
            assert await line_of(zombie) == [1], "it finds itself fenced"
            for _ in range(20):
                assert (await queue.statistics()).in_flight == 1, "its return changed nothing"
            go.set()
            await until(queue, depth=0)
    assert attempts == [2]


async def test_another_process_is_noticed(file, start):
    """A consumer that waits hears of what another process has enqueued."""
    done = anyio.Event()

    async def handle(message: Message[int]) -> None:
        done.set()

    async with MessageQueue("a", file) as queue, queue.consumer(handle):
        await queue.statistics()
        start(
            """
            import sys
            from penstock import MessageQueue
            with MessageQueue("a", sys.argv[1]).sync as queue:
                queue.enqueue(1)
            """,
            file,
        )
        with anyio.fail_after(20):
            await done.wait()


async def test_two_processes_share_a_file(file, start, until):
    producer = """
        import sys
        from penstock import MessageQueue
        with MessageQueue("a", sys.argv[1]).sync as queue:
            for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100):
                queue.enqueue(number)
    """
    got = []

    async def handle(message: Message[int]) -> None:
        got.append(message.data)

    async with MessageQueue("a", file) as queue, queue.consumer(handle):
        others = [start(producer, file, str(base)) for base in (0, 100)]
        for number in range(200, 300):
            await queue.enqueue(number)
        for other in others:
            assert await anyio.to_thread.run_sync(other.wait) == 0
        await until(queue, depth=0)
    assert sorted(got) == list(range(300))


async def test_sigterm_in_the_middle_gives_back(file, start, until):
    program = """
        import signal, sys, anyio
        from penstock import MessageQueue

        async def main():
            async def handle(message):
                print(message.data, flush=True)
                await anyio.sleep_forever()

            async with anyio.create_task_group() as group:
                group.start_soon(MessageQueue("a", sys.argv[1]).consume, handle)
                with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                    async for _ in signals:
                        group.cancel_scope.cancel()
                        break

        anyio.run(main)
    """
    async with MessageQueue("a", file) as queue:
        await queue.enqueue(1)
        process = start(program, file)
        assert await line_of(process) == [1]
        process.terminate()
        assert await anyio.to_thread.run_sync(process.wait) == 0
        assert (await queue.statistics())[:4] == (1, 0, 0, 0)


def test_a_forked_child_is_refused(file):
    queue = MessageQueue("a", file)
    with queue.sync as sync:
        sync.enqueue(1)
        child = os.fork()
        if not child:
            code = 1
            try:
                sync.enqueue(2)
            except Misuse as error:
                code = 0 if "before the fork" in str(error) else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        sync.enqueue(3)
        assert sync.statistics().ready == 2


def test_a_forked_child_may_open_its_own(file):
    with MessageQueue("a", file).sync as sync:
        sync.enqueue(1)
        child = os.fork()
        if not child:
            code = 1
            try:
                with MessageQueue("a", file).sync as own:
                    own.enqueue(2)
                    code = 0 if own.statistics().ready == 2 else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert sync.statistics().ready == 2


def test_an_exit_without_closing_neither_hangs_nor_complains(file, start):
    process = start(
        """
        import sys
        from penstock import MessageQueue
        queue = MessageQueue("a", sys.argv[1])
        queue.open()
        queue.sync.enqueue(1)
        """,
        file,
    )
    assert process.wait(20) == 0
    with MessageQueue("a", file).sync as sync:
        assert sync.statistics().ready == 1
