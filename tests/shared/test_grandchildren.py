"""A forked child of a child takes part for itself, whatever becomes of those it was forked from."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penstock import SharedQueue
from penstock.errors import Misuse
from penstock.queues import QueueEmpty
from penstock.shared import Unreadable

from . import children
from .conftest import PATIENCE, until

pytestmark = pytest.mark.usefixtures("clean")

Queue = SharedQueue[Any]


def forked(script: Callable[[], object]) -> int:
    """Runs it in a forked child; its pid there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            script()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def outcome(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def answer(questions: Queue, answers: Queue) -> None:
    for question in questions:
        answers.put((os.getpid(), question))


def answer_below(questions: Queue, answers: Queue, pids: Queue) -> None:
    """A child with a child, which both answer."""
    below = forked(lambda: answer(questions, answers))
    pids.put((os.getpid(), below))
    answer(questions, answers)
    assert outcome(below) in {0, -signal.SIGKILL}


def ask(questions: Queue, answers: Queue, count: int) -> set[int]:
    """Who has answered."""
    questions.put_many(range(count))
    got = [answers.get(timeout=PATIENCE) for _ in range(count)]
    assert sorted(question for _, question in got) == list(range(count))
    return {pid for pid, _ in got}


@pytest.mark.parametrize("who", ["child", "grandchild"])
def test_the_others_go_on_when_one_is_killed(who: str):
    questions, answers, pids = Queue(), Queue(), Queue()
    child = forked(lambda: answer_below(questions, answers, pids))
    try:
        middle, below = pids.get(timeout=PATIENCE)
        assert middle == child
        until(lambda: questions.statistics().waiting_getters == 2)
        assert ask(questions, answers, 50) <= {middle, below}
        killed, other = (middle, below) if who == "child" else (below, middle)
        os.kill(killed, signal.SIGKILL)
        until(lambda: questions.statistics().participants == 2)
        for _ in range(5):
            assert ask(questions, answers, 50) == {other}
    finally:
        questions.shutdown()
    assert outcome(child) == (0 if who == "grandchild" else -signal.SIGKILL)
    until(lambda: questions.statistics().participants == 1)


def test_it_goes_on_when_the_one_between_has_ended():
    questions, answers = Queue(), Queue()

    def between() -> None:
        answers.put("mine")
        forked(lambda: answer(questions, answers))

    try:
        assert outcome(forked(between)) == 0
        assert answers.get(timeout=PATIENCE) == "mine"
        for _ in range(3):
            assert len(ask(questions, answers, 20)) == 1
    finally:
        questions.shutdown()
    until(lambda: questions.statistics().participants == 1)


def test_what_it_has_under_a_lease_is_its_own_and_goes_to_another_when_it_dies():
    queue: Queue = SharedQueue(ack=True, lease=6000.0)
    ready = Queue()
    queue.put_many(["child's", "grandchild's"])

    def child() -> None:
        mine = queue.lease()
        below = forked(grandchild)
        ready.get()
        os.kill(below, signal.SIGKILL)
        assert outcome(below) == -signal.SIGKILL
        ready.put(mine.item)
        with queue.lease(timeout=PATIENCE) as again:
            ready.put(again)
        mine.ack()

    def grandchild() -> None:
        mine = queue.lease()
        ready.put(mine.item)
        threading.Event().wait()

    assert outcome(forked(child)) == 0
    assert ready.get_many() == ["child's", "grandchild's"]
    assert queue.statistics().leased == 0


def test_a_lease_of_a_process_is_not_its_childrens():
    queue: Queue = SharedQueue(ack=True, lease=6000.0)
    queue.put("ours")
    mine = queue.lease()

    def refused() -> None:
        for settle in (mine.ack, mine.give_back, lambda: mine.__exit__(None, None, None)):
            with pytest.raises(Misuse, match="this lease was taken before the fork") as error:
                settle()
            assert "a child takes its own" in (error.value.hint or "")
        assert not mine.is_settled
        # What a block raises is what happened.
        with pytest.raises(ZeroDivisionError), mine:
            raise ZeroDivisionError
        # The queue goes on.
        queue.put("theirs")
        with queue.lease() as item:
            assert item == "theirs"

    def child() -> None:
        refused()
        assert outcome(forked(refused)) == 0

    assert outcome(forked(child)) == 0
    assert queue.statistics().leased == 1
    mine.ack()
    with pytest.raises(QueueEmpty):
        queue.lease(block=False)


@pytest.mark.timeout(150)
def test_forks_beside_threads_that_are_at_it(thread):
    queue: Queue = SharedQueue(1 << 20)
    is_over = threading.Event()
    large = np.zeros(60_000, "u1")

    def work() -> None:
        while not is_over.is_set():
            queue.put_many([large, 1, "x" * 30_000], timeout=PATIENCE)
            queue.get_many(3, min=0)

    def below() -> None:
        queue.put_many([2, large], timeout=PATIENCE)
        queue.get_many(2, min=0)

    def child() -> None:
        # Threads of its own are at it when it forks.
        threads = [threading.Thread(target=below) for _ in range(2)]
        for each in threads:
            each.start()
        pids = [forked(below) for _ in range(2)]
        for each in threads:
            each.join()
        assert [outcome(pid) for pid in pids] == [0, 0]

    workers = [thread(work) for _ in range(2)]
    try:
        for _ in range(15):
            assert outcome(forked(child)) == 0
    finally:
        is_over.set()
        queue.get_many(10_000, min=0)
    for worker in workers:
        worker.outcome()
    queue.get_many(10_000, min=0)
    until(lambda: queue.statistics()[3:5] == (1, 0))


def test_an_error_that_is_to_be_raised_is_the_parents():
    queue = Queue()
    queue.put_many(["before", children.Unpicklable()])
    assert queue.get_many() == ["before"]

    def child() -> None:
        with pytest.raises(QueueEmpty):
            queue.get_nowait()

    assert outcome(forked(child)) == 0
    with pytest.raises(Unreadable):
        queue.get_nowait()


def test_who_drops_a_parents_task_takes_no_part_by_that():
    queue = Queue()

    async def main() -> int:
        async def take() -> object:
            return await queue.aget()

        task = asyncio.get_running_loop().create_task(take())
        while not queue.statistics().waiting_getters:  # noqa: ASYNC110 - nobody tells of a figure
            await asyncio.sleep(0)

        def child() -> None:
            task.get_coro().close()  # type: ignore[union-attr]
            assert queue.statistics().participants == 1
            queue.put("from the child")
            assert queue.statistics().participants == 2

        pid = forked(child)
        assert await task == "from the child"
        return outcome(pid)

    assert asyncio.run(main()) == 0
