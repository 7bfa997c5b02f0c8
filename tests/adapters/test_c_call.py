"""One C function, one answer, awaited."""

from __future__ import annotations

import ctypes
import gc
import warnings
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from penstock.adapters import CALLBACK, CallbackWarning, c_call, from_c_callback
from penstock.adapters.c_callback import CCallback
from penstock.errors import Expired, Misuse
from tests.adapters.c_library import ffi


async def until(condition: Any) -> None:
    with anyio.fail_after(30):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_the_answer_is_awaited(anyio_backend, lib):
    status, text, user = await c_call(
        lib.operate, 21, 1, CALLBACK, ffi.NULL, copy={1: "\0"}, timeout=30.0
    )
    assert (status, text, user) == (42, b"answer 0", 0)


async def test_many_are_under_way_at_once(anyio_backend, lib):
    answers: dict[int, int] = {}

    async def ask(number: int) -> None:
        answers[number] = await c_call(
            lib.operate, number, 1, CALLBACK, ffi.NULL, decode=lambda status, *_: status
        )

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(ask, number)
    assert answers == {number: 2 * number for number in range(200)}


async def test_what_was_not_started_is_not_waited_for(anyio_backend, lib):
    def check(code: int) -> None:
        if code:
            raise OSError(f"operate: {code}")

    with pytest.raises(OSError, match="operate: -1"):
        await c_call(lib.operate, -1, 1, CALLBACK, ffi.NULL, check=check)


async def test_one_that_never_comes_is_told_after_the_timeout(anyio_backend, lib):
    stopped: list[int] = []
    with pytest.raises(Expired, match=r"C callback .cdata.*, open> was not called within 0.01 s"):
        await c_call(lib.operate, 1, 0, CALLBACK, ffi.NULL, timeout=0.01, cancel=stopped.append)
    assert stopped == [0]


async def test_a_cancellation_ends_it_and_stops_the_operation(anyio_backend, lib):
    stopped: list[int] = []
    with anyio.move_on_after(0.01) as scope:
        await c_call(lib.operate, 1, 0, CALLBACK, ffi.NULL, cancel=stopped.append)
    assert scope.cancelled_caught
    assert stopped == [0]


async def test_a_hook_that_fails_is_logged_and_the_cancellation_goes_on(anyio_backend, lib, caplog):
    def fails(started: int) -> None:
        raise RuntimeError(f"cannot stop {started}")

    with anyio.move_on_after(0.01) as scope:
        await c_call(lib.operate, 1, 0, CALLBACK, ffi.NULL, cancel=fails)
    assert scope.cancelled_caught
    with pytest.raises(Expired):
        await c_call(lib.operate, 1, 0, CALLBACK, ffi.NULL, timeout=0.01, cancel=fails)
    assert [str(record.exc_info[1]) for record in caplog.records] == ["cannot stop 0"] * 2


async def test_one_that_is_called_twice_is_told(anyio_backend):
    def twice(pointer: int) -> None:
        function = ctypes.CFUNCTYPE(None, ctypes.c_int)(pointer)
        function(1)
        function(2)

    with pytest.warns(CallbackWarning, match="called 2 times for one operation"):
        assert await c_call(twice, CALLBACK, declaration="void(int)") == (1,)


async def test_one_that_is_called_again_later_is_told_at_the_next(anyio_backend):
    functions: list[Any] = []

    def once(pointer: int) -> None:
        functions.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(pointer))
        functions[-1](1)

    assert await c_call(once, CALLBACK, declaration="void(int)") == (1,)
    functions[0](2)
    with pytest.warns(CallbackWarning, match="callback once, closed> was called 2 times"):
        assert await c_call(once, CALLBACK, declaration="void(int)") == (1,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await c_call(once, CALLBACK, declaration="void(int)") == (1,)


async def test_a_stub_is_not_used_again_while_its_call_is_to_come(anyio_backend):
    functions: list[Any] = []

    def later(pointer: int) -> None:
        functions.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(pointer))

    with pytest.raises(Expired):
        await c_call(later, CALLBACK, declaration="void(int)", timeout=0)
    gc.collect()
    abandoned = ctypes.cast(functions[0], ctypes.c_void_p).value
    try:
        # Through all that there are, twice.
        for _ in range(2):
            for _ in range(4096):
                with from_c_callback("void()") as callback:
                    assert callback.pointer != abandoned
        functions[0](1)  # it comes
        seen = set()
        for _ in range(2 * 4096):
            with from_c_callback("void()") as callback:
                seen.add(callback.pointer)
        assert len(seen) > 4000
    finally:
        functions.clear()


async def test_a_fault_in_the_function_is_raised(anyio_backend):
    def broken(pointer: int) -> None:
        raise LookupError("no device")

    with pytest.raises(LookupError, match="no device"):
        await c_call(broken, CALLBACK, declaration="void(int)")


async def test_what_cannot_be_is_refused_before_anything_starts(anyio_backend, lib):
    started: list[object] = []

    def start(*arguments: object) -> None:
        started.append(arguments)

    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((start,), {"declaration": "void()"}, "CALLBACK 0 times"),
        ((start, CALLBACK, CALLBACK), {"declaration": "void()"}, "CALLBACK 2 times"),
        ((start, CALLBACK), {}, "what start calls back is not known"),
        ((start, CALLBACK), {"declaration": "void()", "timeout": -1}, "timeout=-1"),
        ((start, CALLBACK), {"declaration": "void(x)"}, "type 'x'"),
        ((start, CALLBACK), {"declaration": "void()", "check": 1}, "check=1"),
        ((3, CALLBACK), {"declaration": "void()"}, "3 is not callable"),
        ((lib.operate, CALLBACK, 1, 2, ffi.NULL), {}, "calls back is not known"),
    ]
    for args, options, message in cases:
        with pytest.raises(Misuse, match=message):
            await c_call(*args, **options)
    assert not started


def test_outside_of_a_loop_nothing_is_started():
    started: list[object] = []
    coroutine = c_call(started.append, CALLBACK, declaration="void()")
    with pytest.raises(Misuse, match="no event loop"):
        coroutine.send(None)
    assert not started


async def test_late_calls_are_counted(anyio_backend):
    before = CCallback._all_late()
    with from_c_callback("void()") as callback:
        function = ctypes.CFUNCTYPE(None)(callback.pointer)
    function()
    assert callback.statistics().late == 1
    assert CCallback._all_late() == before + 1
