"""What a rate limit costs that processes share, and how exactly eight of them keep it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic, perf_counter_ns, sleep
from typing import Any, NamedTuple

from benches.case import Case, Contender, Figure, Lap, Target, Work, cost
from benches.refusal import WrongAnswer
from benches.resilience.calls import all_answered, answer, called, contender
from benches.shared.beside import SPAWN, beside
from benches.units import PERCENT

OPEN = 10_000_000  # calls a second, more than anybody makes: nothing is refused

Take = Callable[[], bool]
"""Whether one more call may be made now."""


# --- each library's limit: made once, then opened in every process ---------------------------


def penstock_made(limit: int) -> Any:
    return f"bench-rate-{os.getpid()}-{perf_counter_ns()}", limit


def penstock_opened(made: Any) -> Take:
    from penstock import Policy, RateLimit
    from penstock.resilience import RateLimited

    name, limit = made
    call = Policy(name, RateLimit(limit, 1.0, burst=min(BURST, limit), scope="machine"))(answer)

    def take() -> bool:
        try:
            return bool(call())
        except RateLimited:
            return False

    return take


def pyrate_made(limit: int) -> Any:
    from pyrate_limiter import GCRA, Duration, MultiprocessStateStore, Rate, StateBucket

    # As its `init()` makes it, but for processes that are spawned.
    store = MultiprocessStateStore(SPAWN.Manager().list(), SPAWN.RLock())
    return StateBucket([Rate(limit, Duration.SECOND)], GCRA(), store)


def pyrate_opened(bucket: Any) -> Take:
    from pyrate_limiter import Limiter

    limiter = Limiter(bucket)
    return lambda: bool(limiter.try_acquire("bench", blocking=False))


def limits_made(limit: int) -> Any:
    return limit


def limits_opened(limit: Any) -> Take:
    from limits import RateLimitItemPerSecond
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    item = RateLimitItemPerSecond(limit)
    hit = FixedWindowRateLimiter(MemoryStorage()).hit
    return lambda: bool(hit(item, "bench"))


# --- cost -----------------------------------------------------------------------------------


def penstock(fn: Any, limit: int = OPEN) -> Any:
    from penstock import Policy, RateLimit

    name = f"bench-rate-{os.getpid()}-{id(fn)}"
    return Policy(name, RateLimit(limit, 1.0, scope="machine"))(fn)


def before(made: Callable[[int], Any], opened: Callable[[Any], Take]) -> Callable[..., Any]:
    """A wrap by hand: the limit is asked before each call."""

    def wrap(fn: Any, limit: int = OPEN) -> Any:
        take = opened(made(limit))

        def call() -> Any:
            if not take():
                raise ConnectionRefusedError
            return fn()

        return call

    return wrap


def refuses(wrap: Any) -> None:
    """Of many calls at once few pass where ten a second may."""
    call = wrap(lambda: 1, 10)
    passed = 0
    for _ in range(100):
        try:
            passed += call()
        except Exception:  # noqa: BLE001 - each library has its own
            continue
    if not 1 <= passed <= 30:
        raise WrongAnswer(f"of 100 calls {passed} passed a limit of 10 a second")


# --- exactness ------------------------------------------------------------------------------

PROCESSES = 8
LIMIT = 2_000  # calls a second, of all processes together
BURST = 100  # what 50 ms earn: nothing is lost while the system lets none of them run
DRAIN = 0.5  # seconds


class Span(NamedTuple):
    """Moments on the clock that all share: when they begin to ask, and from when to when what is
    granted counts. By then a bucket that had filled up is empty.
    """

    ask: float
    begin: float
    end: float


@contextmanager
def asker(opened: Callable[[Any], Take], made: Any) -> Iterator[Callable[[Any], int]]:
    """One of several processes: how many calls were granted to it in a span."""
    take = opened(made)

    def lap(span: Any) -> int:
        granted = 0
        sleep(max(0.0, span.ask - monotonic()))
        while (now := monotonic()) < span.end:
            if take() and now >= span.begin:
                granted += 1
        return granted

    yield lap


@contextmanager
def asked_by_all(made: Callable[[int], Any], opened: Callable[[Any], Take]) -> Iterator[Work]:
    """An operation is a call that should be granted: so many take n / LIMIT seconds."""
    limit = made(LIMIT)
    with ExitStack() as stack:
        others: list[Any] = [
            stack.enter_context(beside(asker, opened, limit)) for _ in range(PROCESSES)
        ]

        def work(n: int) -> Lap:
            ask = monotonic() + 0.05
            begin = ask + DRAIN
            span = Span(ask, begin, begin + n / LIMIT)
            for other in others:
                other.begin(span)
            granted = sum(other.end() for other in others)
            return Lap((n, granted), round(1e9 * n / LIMIT))

        yield work


def error() -> Figure:
    """How far what was granted is from the limit, in hundredths of it."""
    return Figure("error", PERCENT, lambda lap, n: 100 * abs(lap.answer[1] - n) / n)


plain = partial(contender, called, refuses)

CASES = (
    Case(
        room="resilience",
        name="rate-shared",
        question="What does a call cost under a rate limit that processes share?",
        contenders=[
            plain("penstock", f'`RateLimit({OPEN}, 1.0, scope="machine")`', penstock),
            plain(
                "pyrate-limiter",
                "GCRA in a `MultiprocessStateStore`",
                before(pyrate_made, pyrate_opened),
            ),
            plain(
                "limits",
                "fixed window in a `MemoryStorage`: each process has its own",
                before(limits_made, limits_opened),
            ),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(400e-9), Target(100, "pyrate-limiter"), Target(10, "limits")],
    ),
    Case(
        room="resilience",
        name="rate-error-8-processes",
        question=f"How far from {LIMIT} calls a second are eight processes that ask all the time?",
        contenders=[
            Contender(
                "penstock",
                f'`RateLimit({LIMIT}, 1.0, burst={BURST}, scope="machine")`',
                partial(asked_by_all, penstock_made, penstock_opened),
                "penstock",
            ),
            Contender(
                "pyrate-limiter",
                "GCRA in a `MultiprocessStateStore`",
                partial(asked_by_all, pyrate_made, pyrate_opened),
                "pyrate-limiter",
            ),
            Contender(
                "limits",
                "fixed window in a `MemoryStorage`: each process has its own",
                partial(asked_by_all, limits_made, limits_opened),
                "limits",
            ),
        ],
        is_right=lambda n, answer: answer[0] == n and answer[1] > 0,
        figures=[error()],
        targets=[Target(1.0)],
        least=LIMIT,  # whole seconds, as a fixed window counts
    ),
)
