"""A C library's own thread calls back as fast as it can, into one task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.adapters import ways
from benches.adapters.library import ffi_and_library
from benches.case import Case, Contender, Lap, Target, Work, rate
from benches.loops import kept
from benches.units import ITEMS

LENGTH = 1024


class Calls(list[Any]):
    """What was taken. asyncio makes a repr of a task's result: of these it would be megabytes."""

    def __repr__(self) -> str:
        return f"<{len(self)} calls>"


def number(value: int) -> tuple[int]:
    return (value,)


def block(value: int, data: Any, length: int) -> tuple[int, bytes, int]:
    ffi, _ = ffi_and_library()
    return value, ffi.buffer(data, length)[:], length


@contextmanager
def called(way: ways.Way, kind: str, read: Callable[..., Any]) -> Iterator[Work]:
    """The library's thread calls n times; a task takes them all."""
    _, library = ffi_and_library()

    def start(pointer: Any, n: int) -> Any:
        return (
            library.burst(pointer, n) if kind == "number_fn" else library.blocks(pointer, n, LENGTH)
        )

    async def lap(n: int) -> Lap:
        async with way(kind, read) as end:
            taken = Calls()
            started = perf_counter_ns()
            job = start(end.pointer, n)
            if end.take_many is not None:
                while len(taken) < n:
                    taken += await end.take_many()
            elif end.each is not None:
                async for item in end.each:
                    taken.append(item)
                    if len(taken) == n:
                        break
            elif end.take is not None:
                take = end.take
                for _ in range(n):
                    taken.append(await take())
            done = Lap.since(started, taken)
            library.join(job)
            return done

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


def are_numbers(n: int, answer: list[tuple[int]]) -> bool:
    return answer == [(value,) for value in range(n)]


def are_blocks(n: int, answer: list[tuple[int, bytes, int]]) -> bool:
    heads = [(value, length) for value, _, length in answer]
    contents = all(data[:64] == bytes([value & 0xFF]) * 64 for value, data, _ in answer)
    return heads == [(value, LENGTH) for value in range(n)] and contents


def contenders(kind: str, read: Callable[..., Any]) -> list[Contender]:
    def of(name: str, settings: str, way: ways.Way, package: str | None) -> Contender:
        return Contender(name, settings, partial(called, way, kind, read), package)

    bound = f"maxsize {ways.BOUND}"
    return [
        of(
            "from_c_callback, in batches",
            f"`await callback.aget_many(1024)`, max_items {ways.BOUND}",
            ways.penstock_batches,
            "penstock",
        ),
        of(
            "from_c_callback, one by one",
            f"`async for call in callback`, max_items {ways.BOUND}",
            ways.penstock_singly,
            "penstock",
        ),
        of(
            "call_soon_threadsafe",
            "a cffi closure, `call_soon_threadsafe(put_nowait)` and `asyncio.Queue.get`; unbounded",
            ways.call_soon,
            None,
        ),
        of(
            "culsans.Queue",
            f"a cffi closure, `sync_q.put`, `async_q.get`, {bound}",
            ways.culsans,
            "culsans",
        ),
        of(
            "janus.Queue",
            f"a cffi closure, `sync_q.put`, `async_q.get`, {bound}",
            ways.janus,
            "janus",
        ),
        of(
            "SimpleQueue and to_thread",
            "a cffi closure, `queue.SimpleQueue.put`, `asyncio.to_thread(queue.get)`; unbounded",
            ways.threads,
            None,
        ),
    ]


CASES = (
    Case(
        room="adapters",
        name="c-burst",
        question="How many calls a second of a C library's own thread reach one task on asyncio?",
        contenders=contenders("number_fn", number),
        is_right=are_numbers,
        figures=[rate(ITEMS)],
        targets=(Target(5e5), Target(10, "call_soon_threadsafe")),
        shared=("cffi",),
    ),
    Case(
        room="adapters",
        name="c-burst-1k",
        question="And how many, if each brings 1 KiB that has to be copied during the call?",
        contenders=contenders("block_fn", block),
        is_right=are_blocks,
        figures=[rate(ITEMS)],
        targets=(Target(5e5), Target(5, "call_soon_threadsafe")),
        shared=("cffi",),
    ),
)
