"""A function that does nothing but answer, as each library wraps it; and what proves the wrap.

Before anything is timed, a proof looks at the wrap from outside: a retry must repeat, a breaker
must open. A wrap makes a state of its own each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns
from typing import Any

from benches.case import Contender, Lap, Work
from benches.loops import kept
from benches.refusal import WrongAnswer

Function = Callable[[], Any]
Wrap = Callable[[Any], Any]
Proof = Callable[[Wrap], None]
"""Is given a wrap of plain functions, also where what is timed is async."""

FLOOR = "floor: the call by itself"


def answer() -> int:
    return 1


async def answer_later() -> int:
    return 1


@contextmanager
def called(wrap: Wrap, proof: Proof) -> Iterator[Work]:
    """Calls of `answer`, one after the other; the answers are added up."""
    proof(wrap)
    call = wrap(answer)

    def work(n: int) -> Lap:
        total = 0
        started = perf_counter_ns()
        for _ in range(n):
            total += call()
        return Lap.since(started, total)

    yield work


@contextmanager
def awaited(wrap: Wrap, proof: Proof) -> Iterator[Work]:
    """The same of `answer_later`, awaited in one task of an asyncio loop."""
    with kept("asyncio") as run:
        await_one: Any = run

        async def wrapped(fn: Any) -> Any:
            return wrap(fn)  # in the loop, which some want to see

        def blocking(fn: Function) -> Function:
            async def later() -> Any:
                return fn()

            return partial(await_one, await_one(partial(wrapped, later)))

        proof(blocking)
        call = await_one(partial(wrapped, answer_later))

        async def lap(n: int) -> Lap:
            total = 0
            started = perf_counter_ns()
            for _ in range(n):
                total += await call()
            return Lap.since(started, total)

        yield lambda n: run(partial(lap, n))


def nothing(_: Wrap) -> None:
    """The proof of what promises nothing."""


def contender(
    kind: Callable[[Wrap, Proof], Any],
    proof: Proof,
    name: str,
    settings: str,
    wrap: Wrap,
    package: str | None = "",
) -> Contender:
    """A contender whose distribution is named like it, if no other is given."""
    return Contender(name, settings, partial(kind, wrap, proof), name if package == "" else package)


def bare(kind: Callable[[Wrap, Proof], Any]) -> Contender:
    return Contender("bare call", FLOOR, partial(kind, lambda fn: fn, nothing))


def all_answered(n: int, total: Any) -> bool:
    return bool(total == n)


# --- proofs ---------------------------------------------------------------------------------


def repeats(wrap: Wrap) -> None:
    """What fails once is called twice."""
    calls = 0

    def fails_once() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("once")
        return calls

    seen = wrap(fails_once)()
    _expect(seen == 2, f"a call that failed once gave {seen!r} after {calls} calls")


THRESHOLD = 5


def opens(wrap: Wrap) -> None:
    """After a number of failures the function is not called any more."""
    calls = 0

    def fails() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("always")

    call = wrap(fails)
    for _ in range(10 * THRESHOLD):
        try:
            call()
        except Exception:  # noqa: BLE001 - theirs, or the library's: each has its own
            continue
    _expect(calls < 10 * THRESHOLD, f"{calls} failures in a row did not open it")


def remembers(wrap: Wrap) -> None:
    """Two calls load once."""
    calls = 0

    def counts() -> int:
        nonlocal calls
        calls += 1
        return calls

    call = wrap(counts)
    _expect((call(), call(), calls) == (1, 1, 1), f"two calls loaded {calls} times")


def repeats_and_opens(wrap: Wrap) -> None:
    repeats(wrap)
    opens(wrap)


def _expect(is_right: bool, otherwise: str) -> None:
    if not is_right:
        raise WrongAnswer(otherwise)
