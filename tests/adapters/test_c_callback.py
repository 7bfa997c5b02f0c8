"""A C library's threads call back, and tasks and threads take it."""

from __future__ import annotations

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from penstock.adapters import from_c_callback
from penstock.errors import Closed, Empty, Full, Misuse
from tests.adapters.c_library import ffi

MILLION = 1_000_000

TEXT = "int(int code, const char *text, const int16_t *samples, int count, void *user)"


def tick(**options: Any) -> Any:
    return from_c_callback("int(uint64_t number, void *user)", **options)


async def until(condition: Any) -> None:
    with anyio.fail_after(30):
        while not condition():
            await anyio.lowlevel.checkpoint()


def until_in_a_thread(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0)


async def test_a_million_calls_into_a_slow_taker_are_all_there(anyio_backend, ticks):
    expected = 0
    async with tick(max_items=1000) as callback:
        job = ticks(callback, MILLION)
        while expected < MILLION:
            batch = await callback.aget_many(10_000)
            if expected % 97 == 0:  # slow: the library fills its bounds, and waits
                await until(lambda: callback.statistics().items >= 500 or job.returned == MILLION)
            for number, user in batch:
                assert (number, user) == (expected, 0)
                expected += 1
        job.join()
        figures = callback.statistics()
    assert (figures.accepted, figures.taken, figures.items) == (MILLION, MILLION, 0)
    assert figures.most_items <= 1000
    assert figures.waited > 100
    assert (figures.dropped, figures.beyond, figures.late) == (0, 0, 0)


async def test_one_iterator_takes_them_in_order(anyio_backend, ticks):
    async with tick(max_items=64) as callback:
        job = ticks(callback, 20_000)
        numbers = []
        async for number, _ in callback:
            numbers.append(number)
            if len(numbers) == 20_000:
                break
        job.join()
    assert numbers == list(range(20_000))


async def test_what_is_good_during_the_call_only_is_copied(anyio_backend, texts):
    async with from_c_callback(TEXT, copy={"samples": "count"}, max_items=50) as callback:
        texts(callback, 5000)
        for i in range(5000):
            code, text, samples, count, user = await callback.aget()
            assert (code, text, count, user) == (-(i % 1000), f"event {i}".encode(), i % 9, 0)
            values = [-(i % 1000) - k for k in range(count)]
            assert samples == b"".join(v.to_bytes(2, "little", signed=True) for v in values)


async def test_bytes_are_bounded(anyio_backend, texts):
    options: Any = {"copy": {"samples": "count"}, "max_items": 100_000, "max_bytes": 2000}
    async with from_c_callback(TEXT, **options) as callback:
        texts(callback, 5000)
        taken = 0
        while taken < 5000:
            await until(lambda: callback.statistics().waited > 0)
            taken += len(await callback.aget_many(50))
        figures = callback.statistics()
    assert figures.most_bytes <= 2000
    assert figures.waited > 0


async def test_one_larger_than_the_bound_comes_in_alone(anyio_backend):
    async with from_c_callback("void(const char *text)", max_bytes=4) as callback:
        text = ffi.new("char[]", b"x" * 1000)
        callback.cdata(ffi)(text)
        assert await callback.aget() == (b"x" * 1000,)


def test_the_memory_of_a_large_one_is_given_back():
    size = 64 << 20
    with from_c_callback(
        "void(const void *data, size_t n)", copy={"data": "n"}, max_bytes=1 << 20
    ) as callback:
        call, data = callback.cdata(ffi), ffi.new("char[]", size)
        before = resident()
        call(data, size)
        assert resident() - before >= size
        assert len(callback.get()[0]) == size
        call(data, 10)
        callback.get()
        assert resident() - before < size // 2


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("sign", [1, -1])
def test_every_kind_of_argument_arrives(lib, sign):
    with from_c_callback(ffi.typeof("wide_fn"), returns=-0.125) as callback:
        assert lib.call_wide(callback.cdata(), sign) == -0.125
        signed = (sign * 2_000_000_000, sign * 9_000_000_000_000_000_000)
        assert callback.get() == (
            sign * 100, 200, sign * 30000, 60000, signed[0], 4_000_000_000, signed[1],
            18_000_000_000_000_000_000, sign, 5, sign > 0, 0.5, -2.25, 0x1234,
            3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, sign * 7,
        )  # fmt: skip


async def test_a_burst_is_one_wake(anyio_backend, lib):
    async with tick() as callback, anyio.create_task_group() as tasks:
        got: list[Any] = []

        async def take() -> None:
            got.extend(await callback.aget_many(1000))

        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        thread = threading.Thread(
            target=lib.ticks_now,
            args=(callback.cdata(ffi), ffi.NULL, 500, ffi.new("uint64_t *")),
        )
        thread.start()
        thread.join()
        await until(lambda: got)
        assert callback.statistics().wakes == 1
        assert callback.statistics().system_wakes <= 1
        assert len(got) == 500


async def test_a_cancelled_taker_loses_nothing(anyio_backend, ticks):
    async with tick(max_items=16) as callback:
        ticks(callback, 3000)
        taken: list[int] = []
        cancelled = 0
        while len(taken) < 3000:
            with anyio.move_on_after(0.00005) as scope:
                while True:
                    taken.extend(number for number, _ in await callback.aget_many(4))
                    await anyio.lowlevel.checkpoint()
                    if len(taken) == 3000:
                        break
            cancelled += scope.cancelled_caught
        assert taken == list(range(3000))
        assert cancelled > 0


def test_threads_take_and_share(ticks):
    with tick(max_items=100) as callback:
        taken: list[list[int]] = [[], [], []]

        def take(into: list[int]) -> None:
            into.extend(number for number, _ in callback)

        threads = [threading.Thread(target=take, args=(into,)) for into in taken]
        for thread in threads:
            thread.start()
        ticks(callback, 30_000).join()
        callback.close()
        for thread in threads:
            thread.join()
    assert sorted(sum(taken, [])) == list(range(30_000))
    assert all(into == sorted(into) for into in taken)


# full, on a thread that cannot wait


def test_calls_on_the_takers_own_thread_are_kept_up_to_as_much_again(lib):
    with tick(max_items=10, refuses=-1) as callback:
        refused = ffi.new("uint64_t *")
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 25, refused)
        assert refused[0] == 5
        assert [callback.get()[0] for _ in range(20)] == list(range(20))
        with pytest.raises(Full, match="5 calls are missing here"):
            callback.get()
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 3, refused)
        assert [callback.get()[0] for _ in range(3)] == [0, 1, 2]
        figures = callback.statistics()
    assert (figures.beyond, figures.dropped, figures.most_items) == (10, 5, 20)


async def test_a_loops_own_call_does_not_stop_the_loop(anyio_backend, lib):
    async with tick(max_items=10) as callback:
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 20, ffi.new("uint64_t *"))
        assert [(await callback.aget())[0] for _ in range(20)] == list(range(20))


async def test_a_loop_elsewhere_does_not_wait_for_its_own_first_take(anyio_backend, lib):
    callback = tick(max_items=10, refuses=-1)
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(callback.__enter__).result()
    refused = ffi.new("uint64_t *")
    # A library that calls back as it is registered; it gives up, where the loop would stand still.
    rescue = threading.Timer(20, callback.close)
    rescue.start()
    with closing(callback):
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 25, refused)
        rescue.cancel()
        assert not callback.is_closed, "the loop waited for itself"
        assert refused[0] == 5
        assert [(await callback.aget())[0] for _ in range(20)] == list(range(20))
        with pytest.raises(Full, match="5 calls are missing here"):
            await callback.aget()
        assert callback.statistics().waited == 0


def test_a_thread_without_a_loop_waits_for_the_first_take(ticks, lib):
    callback = tick(max_items=10, refuses=-1)
    with callback, ThreadPoolExecutor(1) as elsewhere:
        refused = ffi.new("uint64_t *")
        job = elsewhere.submit(lib.ticks_now, callback.cdata(ffi), ffi.NULL, 25, refused)
        until_in_a_thread(lambda: callback.statistics().waited == 1)
        assert [callback.get()[0] for _ in range(25)] == list(range(25))
        job.result()
    assert refused[0] == 0


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_thread_that_ends_waits_in_its_last_calls_too(exit_ticks, count):
    with tick(max_items=1) as callback:
        job = exit_ticks(callback, count)
        for number in range(count + 4):
            until_in_a_thread(lambda number=number: callback.statistics().accepted > number)
            if number < count + 3:  # the next one finds no room
                until_in_a_thread(lambda number=number: callback.statistics().waited > number)
            assert callback.get(30) == (number, 0)
        job.join()
        figures = callback.statistics()
    assert (figures.taken, figures.dropped, figures.waited) == (count + 4, 0, count + 3)


def test_a_thread_that_holds_the_interpreters_lock_lets_go_of_it(lib):
    import ctypes

    call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p)
    with tick(max_items=2) as callback:
        got: list[int] = []

        def take() -> None:
            got.extend(number for number, _ in callback)

        taker = threading.Thread(target=take)
        taker.start()
        until_in_a_thread(lambda: callback.statistics().wakes >= 0 and taker.is_alive())
        function = call(callback.pointer)  # called with the lock held
        got_before = threading.Thread(target=lambda: [function(i, None) for i in range(2000)])
        got_before.start()
        got_before.join()
        callback.close()
        taker.join()
        assert got == list(range(2000))


# full, by choice


@pytest.mark.parametrize("overflow", ["drop_newest", "refuse", "drop_oldest"])
def test_what_does_not_fit_is_dropped_as_chosen(lib, overflow):
    with tick(max_items=10, overflow=overflow, refuses=-1) as callback:
        refused = ffi.new("uint64_t *")
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 25, refused)
        numbers = [callback.get()[0] for _ in range(10)]
        with pytest.raises(Empty):
            callback.get_nowait()
        assert numbers == list(range(15, 25) if overflow == "drop_oldest" else range(10))
        assert refused[0] == (15 if overflow == "refuse" else 0)
        assert callback.statistics().dropped == 15


# the end


def test_a_call_that_waits_goes_on_when_it_is_closed(ticks):
    with tick(max_items=5) as callback:
        job = ticks(callback, 1000)
        until_in_a_thread(lambda: callback.statistics().waited)
        callback.close()
        job.join()
        assert [number for number, _ in callback] == list(range(5))
        assert callback.statistics().late == 995
        with pytest.raises(Closed, match="all its calls were taken"):
            callback.get()
    assert repr(callback) == "<C callback int(*)(uint64_t, void *), closed>"


def test_a_library_that_waits_for_its_calls_is_unregistered(ticks):
    jobs: list[Any] = []
    # It joins the thread, which waits in a call.
    callback = tick(max_items=5, unregister=lambda: [job.join() for job in jobs])
    with callback:
        jobs.append(ticks(callback, 100))
        until_in_a_thread(lambda: callback.statistics().waited)
    assert len(list(callback)) == 5


async def test_it_is_unregistered_by_an_async_function(anyio_backend):
    done: list[bool] = []

    async def unregister() -> None:
        await anyio.lowlevel.checkpoint()
        done.append(callback.is_closed)

    callback = tick(unregister=unregister)
    async with callback:
        pass
    assert done == [True]
    with pytest.raises(Misuse, match="open it with `async with`"), tick(unregister=unregister):
        pass


async def test_those_who_wait_hear_of_the_end(anyio_backend):
    callback = tick()
    async with anyio.create_task_group() as tasks:
        heard: list[Any] = []

        async def wait() -> None:
            heard.append([item async for item in callback])

        async with callback:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
    assert heard == [[], []]


def test_calls_after_the_end_are_answered(lib):
    with tick(returns=3) as callback:
        function = callback.cdata(ffi)
    del callback
    gc.collect()
    for _ in range(1000):
        assert function(1, ffi.NULL) == 3


def test_forgetting_to_close_it_is_told():
    callback = tick(name="feed")
    callback.__enter__()
    function = callback.cdata(ffi)
    told = pytest.warns(ResourceWarning, match="unclosed <C callback feed, open>")
    with told:
        del callback
    gc.collect()
    assert function(1, ffi.NULL) == 0


# decode


class Event:
    def __init__(self, number: int, user: int) -> None:
        if number % 10 == 3:
            raise ValueError(f"{number} is no event")
        self.number = number


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_what_decode_raises_comes_in_its_place(anyio_backend, lib, size):
    async with tick(decode=Event) as callback:
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 25, ffi.new("uint64_t *"))
        seen: list[object] = []
        notes: list[str] = []
        while len(seen) < 25:
            try:
                batch = [await callback.aget()] if size == 1 else await callback.aget_many(size)
                seen.extend(event.number for event in batch)
            except ValueError as error:
                seen.append(str(error))
                notes.append(error.__notes__[0])
        expected = [f"{i} is no event" if i % 10 == 3 else i for i in range(25)]
        assert seen == expected
        assert notes[0].startswith("raised by decode= for the call (3, 0) of C callback")
        assert len(notes) == 3
        assert callback.statistics().items == 0


@pytest.mark.parametrize("error", [Closed("x"), StopIteration(), StopAsyncIteration()])
async def test_a_decode_cannot_end_the_iteration(anyio_backend, lib, error):
    def decode(*_: object) -> None:
        raise error

    async with tick(decode=decode) as callback:
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 1, ffi.new("uint64_t *"))
        with pytest.raises(RuntimeError, match="decode=") as raised:
            await anext(callback)
        assert raised.value.__cause__ is error


# streams


async def test_it_begins_a_stream(anyio_backend, ticks):
    async with tick(max_items=32) as callback:
        job = ticks(callback, 5000)
        stream = callback.stream().map(lambda call: call[0]).batch(100).take(50)
        batches = await stream.collect()
        job.join()
    assert sum(batches, []) == list(range(5000))


async def test_a_stream_that_ends_early_leaves_the_rest(anyio_backend, lib):
    async with tick() as callback:
        lib.ticks_now(callback.cdata(ffi), ffi.NULL, 10, ffi.new("uint64_t *"))
        first = await callback.stream().take(3).collect()
        second = await callback.stream().take(3).collect()
        assert [number for number, _ in first + second] == list(range(6))
        callback.close()
        assert await callback.stream().count() == 4


# what cannot be


def test_it_is_opened_once(lib):
    callback = tick()
    with pytest.raises(Misuse, match="is not open"):
        _ = callback.pointer
    with callback, pytest.raises(Misuse, match="opened before"):
        callback.__enter__()
    with pytest.raises(Misuse, match="opened before"):
        callback.__enter__()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_items": 0}, "max_items=0"),
        ({"max_items": True}, "max_items=True"),
        ({"max_bytes": 1.5}, "max_bytes=1.5"),
        ({"overflow": "spill"}, "overflow='spill'"),
        ({"overflow": "refuse"}, "how to refuse"),
        ({"decode": 3}, "decode=3 is not callable"),
        ({"unregister": 3}, "unregister=3 is not callable"),
        ({"returns": 1 << 31}, "is no int"),
        ({"returns": 1.5}, "is no int"),
        ({"refuses": "no"}, "is no int"),
        ({"copy": {"nobody": 1}}, "has no parameter 'nobody'"),
        ({"copy": {"number": "user"}}, "is no pointer"),
        ({"copy": {"user": "user"}}, "is no number of units"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(Misuse, match=message):
        tick(**options)


def test_bad_waits_are_refused():
    with tick() as callback:
        with pytest.raises(Misuse, match="max=0 takes nothing"):
            callback.get_many(0)
        with pytest.raises(Misuse, match="timeout=-1"):
            callback.get(-1)
        with pytest.raises(Empty, match=r"was not called within 0\.001 s"):
            callback.get(timeout=0.001)
        with pytest.raises(Empty, match="was not called"):
            callback.get_nowait()


def test_stubs_run_out_with_a_clear_error():
    callbacks = [tick() for _ in range(4097)]
    opened = []
    try:
        with pytest.raises(Full, match="all 4096 stubs are in use"):
            opened.extend(callback.__enter__() for callback in callbacks)
    finally:
        for callback in opened:
            callback.close()
    assert len({callback.pointer for callback in opened}) == len(opened) >= 4000
    del callbacks, opened, callback
    gc.collect()
    with tick():
        pass
