"""A task asks, a C library's own thread calls back, and the task goes on: two wakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.adapters import ways
from benches.adapters.c_burst import are_numbers, number
from benches.adapters.library import ffi_and_library
from benches.case import Case, Contender, Lap, Target, Work, percentile
from benches.loops import kept


@contextmanager
def asked(way: ways.Way) -> Iterator[Work]:
    _, library = ffi_and_library()

    async def lap(n: int) -> Lap:
        async with way("number_fn", number) as end:
            assert end.take is not None
            ask, take = library.ask, end.take
            answer: list[Any] = []
            samples: list[int] = []
            job = library.whenever_asked(end.pointer, n)
            started = perf_counter_ns()
            for _ in range(n):
                sent = perf_counter_ns()
                ask(job)
                answer.append(await take())
                samples.append(perf_counter_ns() - sent)
            done = Lap.since(started, answer, samples)
            library.join(job)
            return done

    with kept("asyncio") as run:
        yield lambda n: run(partial(lap, n))


CASES = (
    Case(
        room="adapters",
        name="c-round-trip",
        question="How long until a task has the call that it asked a C library's thread for?",
        contenders=[
            Contender(
                "from_c_callback",
                "`await callback.aget()`",
                partial(asked, ways.penstock_singly),
                "penstock",
            ),
            Contender(
                "call_soon_threadsafe",
                "a cffi closure, `call_soon_threadsafe(put_nowait)` and `asyncio.Queue.get`",
                partial(asked, ways.call_soon),
            ),
            Contender(
                "culsans.Queue",
                "a cffi closure, `sync_q.put`, `async_q.get`",
                partial(asked, ways.culsans),
                "culsans",
            ),
            Contender(
                "janus.Queue",
                "a cffi closure, `sync_q.put`, `async_q.get`",
                partial(asked, ways.janus),
                "janus",
            ),
        ],
        is_right=are_numbers,
        figures=[percentile(50), percentile(99)],
        targets=(Target(61e-6), Target(1, "call_soon_threadsafe")),
        shared=("cffi",),
    ),
)
