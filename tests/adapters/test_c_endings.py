"""The interpreter ends, and processes fork, while a C library goes on calling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.c_library import compiled

ROUNDS = 20

HEAD = """
import asyncio, os, sys, threading
sys.path.insert(0, {root!r})
from tests.adapters.c_library import ffi
from penstock.adapters import from_c_callback
lib = ffi.dlopen({library!r})
FOR_EVER = 1 << 62
"""

PROGRAMS = {
    "unclosed, and the library's thread waits for room": """
callback = from_c_callback("int(uint64_t, void *)", max_items=10)
callback.__enter__()
job = lib.ticks_start(callback.cdata(ffi), ffi.NULL, FOR_EVER)
while not callback.statistics().waited:
    pass
import warnings; warnings.simplefilter("ignore", ResourceWarning)
""",
    "closed, and it goes on calling": """
with from_c_callback("int(uint64_t, void *)") as callback:
    job = lib.ticks_start(callback.cdata(ffi), ffi.NULL, FOR_EVER)
    callback.get_many()
while callback.statistics().late < 1000:
    pass
""",
    "in the middle of a loop that is left": """
async def main():
    async with from_c_callback("int(uint64_t, void *)", max_items=100) as callback:
        jobs = [lib.ticks_start(callback.cdata(ffi), ffi.NULL, FOR_EVER) for _ in range(3)]
        n = 0
        async for _ in callback:
            n += 1
            if n == 10_000:
                sys.exit(0)
asyncio.run(main())
""",
    "a daemon thread takes to the end": """
callback = from_c_callback("int(uint64_t, void *)", max_items=100)
callback.__enter__()
job = lib.ticks_start(callback.cdata(ffi), ffi.NULL, FOR_EVER)
def take():
    for _ in callback:
        pass
threading.Thread(target=take, daemon=True).start()
while callback.statistics().taken < 10_000:
    pass
import warnings; warnings.simplefilter("ignore", ResourceWarning)
""",
    "a forked child": """
with from_c_callback("int(uint64_t, void *)", max_items=100, returns=0) as callback:
    function = callback.cdata(ffi)
    job = lib.ticks_start(function, ffi.NULL, FOR_EVER)
    while not callback.statistics().waited:
        pass
    from penstock.errors import Misuse
    import warnings; warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if child == 0:
        status = 1
        for attempt in (callback.get, callback.statistics, callback.aget_many):
            try:
                attempt()
            except Misuse as misuse:
                status = 0 if "before the fork" in str(misuse) else 1
        function(1, ffi.NULL)  # answered, and nobody hangs
        with from_c_callback("int(uint64_t, void *)") as own:
            own.cdata(ffi)(7, ffi.NULL)
            if own.get() != (7, 0):
                status = 1
        callback.close()
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert len(callback.get_many()) == 100
""",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("endings"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_ends_clean_whatever_the_library_does(library, name):
    root = str(Path(__file__).parents[2])
    program = HEAD.format(root=root, library=str(library)) + PROGRAMS[name]
    for _ in range(ROUNDS):
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")
