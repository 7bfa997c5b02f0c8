"""Where `/dev/shm` is 64 MB, as in a container: a gigabyte goes through, and none of it lies there.

Each script runs in a mount namespace of its own, whose `/dev/shm` is that small. The portable
fallback does lie there: it is refused what does not fit, and never ended by a SIGBUS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 55
NO_NAMESPACE = 77  # what the script then ends with

# A namespace of users first, where mounting is not this user's to do.
_ENTER = """
import ctypes, os, sys

NEWNS, NEWUSER, PRIVATE = 0x00020000, 0x10000000, 1 << 18 | 1 << 14
libc = ctypes.CDLL(None, use_errno=True)
user, group = os.getuid(), os.getgid()
if libc.unshare(NEWNS) != 0:
    if libc.unshare(NEWNS | NEWUSER) != 0:
        sys.exit(77)
    for name, text in (
        ("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
if (
    libc.mount(None, b"/", None, PRIVATE, None) != 0
    or libc.mount(b"small", b"/dev/shm", b"tmpfs", 0, b"size=64m") != 0
):
    sys.exit(77)
del ctypes, libc, sys, user, group
size = os.statvfs("/dev/shm")
assert size.f_blocks * size.f_frsize == 64 << 20
"""


def run(script: str, tmp_path: Path, segments: str = "") -> str:
    """What the script prints, in whose module the children find their functions."""
    file = tmp_path / "script.py"
    file.write_text(f"if __name__ == '__main__':\n    exec({_ENTER!r})\n{script}")
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PENSTOCK_SEGMENTS": segments},
        timeout=SECONDS,
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode == NO_NAMESPACE:
        pytest.skip("no mount namespace can be made here")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_a_gigabyte_goes_through(tmp_path: Path):
    script = """
import os
from multiprocessing import get_context
import numpy as np
from penstock import SharedQueue

MIB = 1 << 20

def take(queue, answers):
    total = 0
    for number, content in queue:
        assert content[0] == content[-1] == number % 251, number
        total += len(content)
    answers.put(total)

if __name__ == "__main__":
    queue, answers = SharedQueue(256 * MIB, arena_bytes=512 * MIB), SharedQueue()
    taker = get_context("spawn").Process(target=take, args=(queue, answers))
    for number in range(128):
        content = np.full(8 * MIB, number % 251, "u1")
        queue.put((number, content if number % 2 else content.tobytes()))
        if number == 30:
            inside = queue.statistics().bytes
            taker.start()  # until then it is all inside
    queue.shutdown()
    print(inside // MIB, answers.get() // MIB)
    taker.join()
    assert taker.exitcode == 0
    with open("/proc/self/maps") as file:
        maps = file.read()
    assert "/memfd:penstock-queue" in maps and "/dev/shm/" not in maps
    size = os.statvfs("/dev/shm")
    assert size.f_bfree == size.f_blocks
"""
    inside, through = map(int, run(script, tmp_path).split())
    assert through == 1024
    assert inside > 3 * 64


FILL = """
import os
from penstock import SharedArray, SharedQueue

MIB = 1 << 20

def fill(queue, item):
    count = 0
    try:
        while True:
            queue.put_nowait(item)
            count += 1
    except MemoryError as error:
        print(str(error).partition(": ")[2])
        return count

if __name__ == "__main__":
    for size in (100, 5000, 100_000, 8 * MIB):
        with SharedQueue(512 * MIB, arena_bytes=512 * MIB) as queue:
            item = os.urandom(size)
            count = fill(queue, item)
            assert 32 * MIB < count * size < 64 * MIB, (count, size)
            kept = [queue.get() for _ in range(count)]
            assert all(each == item for each in kept) and queue.empty()
            queue.put("goes on")
            assert queue.get() == "goes on"
    with SharedQueue(512 * MIB) as queue:
        born = []
        try:
            while True:
                born.append(SharedArray.empty(MIB, "u1", queue=queue))
                born[-1].fill(1)
        except MemoryError:
            assert 32 < len(born) < 64, len(born)
        queue.put(born.pop())
        assert queue.get().all()
        del born
    del queue
    size = os.statvfs("/dev/shm")
    assert size.f_bfree == size.f_blocks, "nothing is left"
"""


def test_files_there_that_do_not_fit_are_refused_with_an_error(tmp_path: Path):
    refusals = run(FILL, tmp_path, "named").splitlines()
    assert len(refusals) == 4
    for refusal in refusals:
        assert refusal.startswith("no memory for the queue's pages: No space left on device")


FAMILY = """
import os
import numpy as np
from penstock import SharedArray, SharedQueue

queue = SharedQueue(4 << 20, name=f"small-{os.getpid()}")
for _ in range(3):
    if os.fork() == 0:
        while True:
            queue.put(np.ones(50_000))
            queue.put("short")
            kept = queue.get_many()
own = SharedArray.empty(100_000)
while queue.statistics().participants < 4:
    queue.put(np.ones(50_000))
    kept = queue.get_many()
print("all take part", flush=True)
while True:
    kept = queue.get_many()
"""


def test_processes_that_are_killed_leave_nothing_there(tmp_path: Path):
    script = f"""
import os, signal, subprocess, sys

def bytes_there():
    size = os.statvfs("/dev/shm")
    return (size.f_blocks - size.f_bfree) * size.f_frsize

if __name__ == "__main__":
    for _ in range(3):
        family = subprocess.Popen(
            [sys.executable, "-c", {FAMILY!r}], stdout=subprocess.PIPE, start_new_session=True
        )
        with family.stdout:
            assert family.stdout.readline() == b"all take part\\n"
            assert bytes_there() > 800_000
            os.killpg(family.pid, signal.SIGKILL)
            family.wait()
            # The end of the file: the last of them is gone, and what it had open before that.
            assert family.stdout.read() == b""
        while bytes_there():
            os.sched_yield()  # its mappings go as it does
        assert os.listdir("/dev/shm") == []
    print("nothing is left")
"""
    assert run(script, tmp_path, "named") == "nothing is left\n"
