"""A breaker's behaviour as a table: what happens, and the state after it, in virtual time.

ok fail ignored       a call that ends so at once
slow, slow-fail       the same, after `slow` seconds
refused               a call that is not let through
go a; a ok …          call a begins; call a ends with ok, fail, ignored, slow or cancel
+5                    five seconds pass
reset, normal, shadow, forced_open, disabled      what an operator does
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from penstock import CircuitBreaker, Policy
from penstock.resilience import CircuitOpen
from penstock.testing import FakeClock

__all__ = ("Player", "Table")


class Ignored(Exception):
    """What neither side counts."""


@dataclass(frozen=True)
class Table:
    """One behaviour: where it is described, under which settings, ours beside theirs."""

    name: str
    source: str
    theirs: str
    ours: dict[str, object]
    rows: str
    slow: float = 5.0
    steps: list[tuple[str, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for line in self.rows.strip().splitlines():
            event, _, state = line.strip().rpartition("  ")
            self.steps.append((event.strip(), state.strip()))

    def run(self, scope: str, name: str) -> None:
        """Plays it, and asserts the state after each step."""
        with FakeClock() as clock, asyncio.Runner() as runner:
            settings = {"on": lambda error: not isinstance(error, Ignored), **self.ours}
            policy = Policy(name, CircuitBreaker(scope=scope, **settings))  # type: ignore[arg-type]
            runner.run(self._play(Player(policy, clock, self.slow)))

    async def _play(self, player: Player) -> None:
        for number, (event, state) in enumerate(self.steps, 1):
            await player.do(event)
            seen = player.policy.circuit.state
            assert seen == state, f"{self.name}, row {number}: {event!r} gives {seen}, not {state}"
        await player.end()


class Player:
    """Calls of one policy that overlap."""

    def __init__(self, policy: Policy, clock: FakeClock, slow: float) -> None:
        self.policy = policy
        self.clock = clock
        self.slow = slow
        self.calls: dict[str, tuple[asyncio.Task[None], asyncio.Future[str]]] = {}

    async def do(self, event: str) -> None:
        if event.startswith("+"):
            self.clock.advance(float(event[1:]))
        elif event == "reset":
            self.policy.circuit.reset()
        elif event in {"normal", "shadow", "forced_open", "disabled"}:
            self.policy.circuit.mode = event
        elif event.startswith("go "):
            assert await self.begin(event[3:]), f"{event!r} is refused"
        elif " " in event:
            await self.finish(*event.split())
        elif event == "refused":
            assert not await self.begin("?"), "it is let through"
        else:
            assert await self.begin("?"), f"{event!r} is refused"
            await self.finish("?", event)

    async def begin(self, name: str) -> bool:
        """Whether a call was let through; it waits to be told how to end."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            how = await answer
            if how.startswith("slow"):
                self.clock.advance(self.slow)
            if how.endswith("fail"):
                raise ConnectionError
            if how == "ignored":
                raise Ignored

        async def call() -> None:
            await self.policy.run(work)

        task = asyncio.get_running_loop().create_task(call())
        for _ in range(3):
            await asyncio.sleep(0)
        if task.done():
            assert isinstance(task.exception(), CircuitOpen)
            return False
        self.calls[name] = task, answer
        return True

    async def finish(self, name: str, how: str) -> None:
        """Ends it."""
        task, answer = self.calls.pop(name)
        if how == "cancel":
            task.cancel()
        else:
            answer.set_result(how)
        await asyncio.wait({task})
        if not task.cancelled():
            assert isinstance(task.exception(), ConnectionError | Ignored | None)

    async def end(self) -> None:
        for name in list(self.calls):
            await self.finish(name, "cancel")
