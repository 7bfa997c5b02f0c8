"""Joining a queue by its name, through whoever has it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import pytest

from penstock import SharedQueue
from penstock.errors import Conflict, Expired, Lost, Misuse

from . import children
from .conftest import PATIENCE, Start, ended, named, stop

pytestmark = pytest.mark.usefixtures("clean")


def test_who_knows_the_name_is_let_in(start: Start):
    queue: SharedQueue[Any] = SharedQueue(1 << 16, 9, name=named("orders"))
    assert ended(start(children.join_and_put, named("orders"), "from afar")) == 0
    assert queue.get(timeout=PATIENCE) == ("from afar", 1 << 16, 9)


def test_a_second_handle_is_the_same_queue():
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    with SharedQueue[Any].attach(named("orders"), spin=0.001) as other:
        assert (other.name, other.spin) == (named("orders"), 0.001)
        other.put(1)
        queue.put(2)
        assert sorted(other.get_many(2, min=2)) == [1, 2]
    queue.put(3)
    assert queue.get() == 3


def test_a_name_is_that_of_one_queue():
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    with pytest.raises(Conflict, match=r"shared queue 'orders-[0-9]+' exists already") as refused:
        SharedQueue(name=named("orders"))
    assert "SharedQueue.attach(name)" in (refused.value.hint or "")
    queue.close()
    for _ in range(20):
        SharedQueue(name=named("orders")).close()
    SharedQueue(name=named("orders"))  # free again with the last reference


def test_a_name_lives_on_with_another_process(start: Start):
    first: SharedQueue[Any] = SharedQueue(name=named("orders"))
    back: SharedQueue[Any] = SharedQueue()
    child = start(children.echo, first, back)
    first.put("are you there?")
    assert back.get(timeout=PATIENCE) == "are you there?"
    first.close()
    del first
    again = SharedQueue[Any].attach(named("orders"))
    again.put("still?")
    assert back.get(timeout=PATIENCE) == "still?"
    again.shutdown()
    assert ended(child) == 0
    again.close()
    # A door that was closed this moment may have let somebody in who then finds nobody.
    with pytest.raises(Misuse, match=r"'orders-[0-9]+': .*(no living process|hung up)"):
        SharedQueue.attach(named("orders"))


def test_a_name_that_nobody_has():
    with pytest.raises(Misuse, match=r"shared queue 'nobody-[0-9]+': no living process") as refused:
        SharedQueue.attach(named("nobody"))
    assert refused.value.hint


@pytest.mark.parametrize("name", ["", "two words", "a/b", "ä", "x" * 65, "a\0b"])
def test_what_is_no_name(name: str):
    for call in (lambda: SharedQueue(name=name), lambda: SharedQueue.attach(name)):
        with pytest.raises(Misuse, match="is no name: 1 to 64 letters, digits"):
            call()


def test_one_that_is_stopped_lets_nobody_in(fork: Start):
    queue: SharedQueue[Any] = SharedQueue()
    child = fork(children.own, named("stopped"), queue)
    assert queue.get(timeout=PATIENCE) == "mine"
    stop(child)
    with pytest.raises(Expired, match=r"'stopped-[0-9]+': 1 processes have .*, and none answers"):
        SharedQueue.attach(named("stopped"), timeout=0.05)
    with pytest.raises(Conflict):
        SharedQueue(name=named("stopped"))
    os.kill(child.pid or 0, signal.SIGCONT)
    SharedQueue[Any].attach(named("stopped"), timeout=PATIENCE).shutdown()
    assert ended(child) == 0


def test_a_named_queue_may_be_an_item():
    requests: SharedQueue[Any] = SharedQueue(name=named("requests"))
    replies: SharedQueue[Any] = SharedQueue(name=named("replies"), spin=0.001)
    requests.put({"question": 6, "reply to": replies})
    request = requests.get()
    request["reply to"].put(request["question"] * 7)
    assert request["reply to"].spin == 0.001
    assert replies.get(timeout=PATIENCE) == 42


def test_one_without_a_name_may_not():
    queue: SharedQueue[Any] = SharedQueue()
    with pytest.raises(Misuse, match=r"SharedQueue, .* has no name, and is pickled other than"):
        queue.put({"reply to": queue})
    assert queue.empty()


def test_a_pickled_queue_that_is_gone():
    queue: SharedQueue[Any] = SharedQueue(name=named("orders"))
    pickled = pickle.dumps(queue)
    queue.close()
    with pytest.raises(Misuse, match=r"no living process|hung up"):
        pickle.loads(pickled)
    other: SharedQueue[Any] = SharedQueue(name=named("orders"))
    with pytest.raises(Lost, match="is gone, and another one has its name"):
        pickle.loads(pickled)
    other.put(1)
    assert other.get() == 1


def test_a_lack_of_descriptors_is_no_lack_of_a_queue():
    program = """
import contextlib, errno, os, resource, sys
from penstock import SharedQueue

def refusal(call):
    try:
        with call():
            return None
    except OSError as error:
        assert "shared queue" in str(error), error
        return error.errno

name = sys.argv[1]
other = SharedQueue(name=f"{name}-other")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
for free in range(8):
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for fd in taken[len(taken) - free:]:
        os.close(fd)
    said = [
        refusal(lambda: SharedQueue()),
        refusal(lambda: SharedQueue(name=name)),
        refusal(lambda: SharedQueue.attach(f"{name}-other")),
    ]
    assert set(said) <= {None, errno.EMFILE}, said
    if free == 0:
        assert None not in said, said
    for fd in taken[: len(taken) - free]:
        os.close(fd)
assert said == [None, None, None], said
"""
    command = [sys.executable, "-W", "error", "-c", program, named("orders")]
    subprocess.run(command, check=True, timeout=PATIENCE)
