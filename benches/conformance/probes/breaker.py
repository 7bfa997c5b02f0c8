"""Of circuit breakers: three failures open it, for a fifth of a second."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from ..adapter import Adapter
from ..probe import Seen, fails, outcome, passes, probe, start, turns, until

FAILURES, OPEN_FOR = 3, 0.2
WAIT = OPEN_FOR * 1.5


class Service:
    """What is called: fails, answers, or hangs until it is let go."""

    def __init__(self) -> None:
        self.mode = "fail"
        self.gates: list[asyncio.Event] = []
        self.inside = 0
        self.most = 0

    async def call(self) -> str:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            if self.mode == "fail":
                raise ConnectionError
            if self.mode == "hang":
                gate = asyncio.Event()
                self.gates.append(gate)
                await gate.wait()
            return "answer"
        finally:
            self.inside -= 1


async def opened(adapter: Adapter, **settings: Any) -> tuple[Service, Callable[[], Any]]:
    service = Service()
    call = adapter.breaker(FAILURES, OPEN_FOR, **settings)(service.call)
    await open_it(adapter, call)
    return service, call


async def open_it(adapter: Adapter, call: Callable[[], Any]) -> None:
    for _ in range(FAILURES):
        await outcome(start(call))
    refused = await outcome(start(call))
    assert isinstance(refused, adapter.refusals), f"it did not open: {refused!r}"


@probe("breaker")
async def half_open_is_guarded(adapter: Adapter) -> Seen:
    """Of 100 callers at once when the wait is over, one gets through."""
    service, call = await opened(adapter)
    await asyncio.sleep(WAIT)
    service.mode = "hang"
    calls = [start(call) for _ in range(100)]
    if not await until(lambda: service.inside):
        return fails("none gets through")
    await turns(20)
    most = service.most
    for gate in service.gates:
        gate.set()
    for each in calls:
        await outcome(each)
    return passes("1") if most == 1 else fails(f"{most} of 100")


@probe("breaker")
def half_open_is_guarded_in_threads(adapter: Adapter) -> Seen:
    """Of 20 threads at once when the wait is over, one is inside."""
    lock = threading.Lock()
    fail, inside, most, done = True, 0, 0, 0
    all_tried = threading.Event()

    def work() -> None:
        nonlocal inside, most
        if fail:
            raise ConnectionError
        with lock:
            inside += 1
            most = max(most, inside)
        all_tried.wait(1.0)  # until the others have been refused, or have not
        with lock:
            inside -= 1

    call = adapter.breaker(FAILURES, OPEN_FOR, blocking=True)(work)

    def attempt() -> bool:
        try:
            call()
        except adapter.refusals:
            return False
        except ConnectionError:
            pass
        return True

    def thread() -> None:
        nonlocal done
        attempt()
        with lock:
            done += 1
            if done >= 19:
                all_tried.set()

    for _ in range(FAILURES):
        attempt()
    assert not attempt(), "it did not open"
    time.sleep(WAIT)
    fail = False
    threads = [threading.Thread(target=thread, daemon=True) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10.0)
    if most == 0:
        return fails("none gets through")
    return passes("1") if most == 1 else fails(f"{most} of 20")


@probe("breaker")
async def a_cancelled_call_is_no_failure(adapter: Adapter) -> Seen:
    """Callers who give up on a slow service do not open its circuit for others."""
    service = Service()
    service.mode = "hang"
    call = adapter.breaker(FAILURES, OPEN_FOR)(service.call)
    for _ in range(2 * FAILURES):
        task = start(call)
        await turns(10)
        task.cancel()
        await outcome(task)
    service.mode = "answer"
    result = await outcome(start(call))
    return passes() if result == "answer" else fails("opens")


@probe("breaker")
async def a_cancelled_probe_leaves_room_for_the_next(adapter: Adapter) -> Seen:
    """When the caller of a probe gives up, the next caller is let through at once."""
    service, call = await opened(adapter)
    await asyncio.sleep(WAIT)
    service.mode = "hang"
    task = start(call)
    if not await until(lambda: service.inside):
        return fails("no probe")
    task.cancel()
    await outcome(task)
    service.mode = "answer"
    if await outcome(start(call)) == "answer":
        return passes()
    await asyncio.sleep(WAIT)
    if await outcome(start(call)) == "answer":
        return fails("opens again")
    return fails("refuses for ever")


@probe("breaker")
async def a_filter_that_raises_gives_the_probe_back(adapter: Adapter) -> Seen:
    """When the user's filter raises in half-open, a later caller is still let through."""
    broken = False

    def judge(error: BaseException) -> bool:
        if broken:
            raise RuntimeError("the filter is broken")
        return isinstance(error, ConnectionError)

    service, call = await opened(adapter, on=judge)
    await asyncio.sleep(WAIT)
    broken = True
    await outcome(start(call))
    broken = False
    service.mode = "answer"
    for _ in range(4):
        if await outcome(start(call)) == "answer":
            return passes()
        await asyncio.sleep(WAIT)
    return fails("refuses for ever")


@probe("breaker")
async def an_answer_from_before_closes_nothing(adapter: Adapter) -> Seen:
    """A call let through before the circuit opened does not close it while a probe is out."""
    service = Service()
    service.mode = "hang"
    call = adapter.breaker(FAILURES, OPEN_FOR)(service.call)
    early = start(call)
    if not await until(lambda: service.inside):
        return fails("a first call is refused")
    service.mode = "fail"
    await open_it(adapter, call)
    await asyncio.sleep(WAIT)
    service.mode = "hang"
    probing = start(call)
    if not await until(lambda: service.inside == 2):
        return fails("no probe")
    service.gates[0].set()
    await outcome(early)
    service.mode = "answer"
    other = await outcome(start(call))
    service.gates[1].set()
    await outcome(probing)
    return passes() if isinstance(other, adapter.refusals) else fails("closes")


@probe("breaker")
def an_interruption_is_no_failure(adapter: Adapter) -> Seen:
    """Ctrl-C and exit during a blocking call count as nothing."""
    raising: type[BaseException] | None = None

    def work() -> str:
        if raising is not None:
            raise raising
        return "answer"

    call = adapter.breaker(FAILURES, 60.0, blocking=True)(work)
    for kind in (KeyboardInterrupt, SystemExit, GeneratorExit):
        for _ in range(FAILURES):
            raising = kind
            try:
                call()
            except BaseException as error:
                if isinstance(error, adapter.refusals):
                    return fails(f"{kind.__name__} opens")
            raising = None
        try:
            if call() != "answer":
                return fails("no answer")
        except adapter.refusals:
            return fails(f"{kind.__name__} opens")
    return passes()


@probe("breaker")
def threads_pass_side_by_side(adapter: Adapter) -> Seen:
    """Ten threads are inside a closed circuit at once: no lock is held during the call."""
    barrier = threading.Barrier(10)
    met: list[bool] = []

    def work() -> None:
        try:
            barrier.wait(2.0)
        except threading.BrokenBarrierError:
            met.append(False)
        else:
            met.append(True)

    call = adapter.breaker(FAILURES, 60.0, blocking=True)(work)
    threads = [threading.Thread(target=call, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10.0
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return passes() if met == [True] * 10 else fails("one by one")
