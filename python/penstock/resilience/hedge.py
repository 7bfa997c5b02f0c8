"""`Hedge`: a second attempt beside the first, when that one takes long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock import _clock as clock
from penstock.errors import Misuse

from .budget import Budget
from .lazy import Slot
from .strategy import Part, Place, Strategy, check_count, check_number

if TYPE_CHECKING:
    import asyncio

    from .weave import Weave

__all__ = ("Hedge",)


@dataclass(frozen=True, slots=True)
class Hedge(Strategy):
    """Starts another attempt beside one that takes long; the first result wins.

    Only for calls that may happen twice. The others are cancelled and awaited before the winner's
    result is returned; one that does not end within `grace` is left behind (on asyncio), and
    counted. A failure is no result while another attempt runs; if all fail, the error that came
    first is raised. Async calls only.

    Args:
        after: seconds before the second attempt, and before each further one.
        max_extra: attempts beside the first, at most.
        grace: seconds that losers are given to end.
        budget: bounds what hedges add to the load; once it is used up, no further ones start.

    Raises Misuse for a value out of range.

    """

    after: float
    max_extra: int = 1
    grace: float = 1.0
    budget: Budget | None = None

    is_for_blocks = False
    is_for_streams = False

    def __post_init__(self) -> None:
        check_number("Hedge", "after", self.after)
        check_count("Hedge", "max_extra", self.max_extra, 1)
        check_number("Hedge", "grace", self.grace)
        if self.budget is not None and not isinstance(self.budget, Budget):
            raise Misuse(f"Hedge: budget={self.budget!r} is not a Budget")

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return HedgePart(self, place)


class HedgePart(Part):
    """Runs what is inside it in tasks."""

    needs_task = True  # which tells trio from asyncio

    def __init__(self, hedge: Hedge, place: Place) -> None:
        self.hedge = hedge
        self.place = place
        self.budget = None if hedge.budget is None else hedge.budget.state(place)
        self.slot = Slot()

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        if not code.is_async:
            raise Misuse(
                f"policy {self.place.policy!r}: Hedge serves async calls only",
                hint="await policy.run(...), or leave Hedge out",
            )
        if self.budget is not None:
            self.budget.begin()
        inner = code.cut(body)
        if code.form == "trio":
            race = code.bind("race", self.race_trio)
            return [f"value = await {race}({inner}, fn, args, kwargs)"]
        race = code.bind("race", self.race)
        return [f"value = await {race}({inner}, fn, args, kwargs, loop)"]

    def _may_add(self, number: int) -> bool:
        if number > self.hedge.max_extra:
            return False
        if self.budget is not None and not self.budget.withdraw():
            self.place.report("budget_exhausted", number)
            return False
        self.place.report("hedged", number + 1, self.hedge.after)
        return True

    async def race(
        self, inner: Callable[..., Any], fn: Any, args: Any, kwargs: Any, loop: Any
    ) -> Any:
        """On asyncio and uvloop."""
        if self.budget is not None:
            self.budget.deposit()
        bucket = self.slot.bucket
        if bucket.loop() is not loop:
            bucket = self.slot.find(loop)
        bell = _Bell(loop)
        running: list[asyncio.Task[Any]] = []
        failed: list[asyncio.Task[Any]] = []
        extra = 0
        try:
            while True:
                attempt = loop.create_task(bell.told_of(inner(fn, args, kwargs)))
                running.append(attempt)
                if extra:
                    attempt.add_done_callback(bell.ring)
                if extra < self.hedge.max_extra:
                    when = clock.now() + self.hedge.after
                    bucket.pending[bell] = when
                    if when < bucket.watch.next:
                        bucket.watch.wake_at(when)
                while True:
                    await bell.wait()
                    for ended in [each for each in running if each.done()]:
                        running.remove(ended)
                        if not ended.cancelled() and ended.exception() is None:
                            if extra:
                                self.place.report("won")
                            return ended.result()
                        failed.append(ended)
                    if not running:
                        return failed[0].result()  # raises
                    if bell.is_time:
                        bell.is_time = False
                        if self._may_add(extra + 1):
                            extra += 1
                            break
        finally:
            bucket.pending.pop(bell, None)
            if running:
                await self._dismiss(running, bell, bucket)

    async def _dismiss(self, losers: list[asyncio.Task[Any]], bell: _Bell, bucket: Any) -> None:
        for loser in losers:
            loser.cancel()
            loser.add_done_callback(_look_at)
            loser.add_done_callback(bell.ring)
        bell.is_time = False
        when = bucket.pending[bell] = clock.now() + self.hedge.grace
        if when < bucket.watch.next:
            bucket.watch.wake_at(when)
        try:
            while not bell.is_time and not all(loser.done() for loser in losers):
                await bell.wait()
        finally:
            bucket.pending.pop(bell, None)
        for loser in losers:
            if not loser.done():
                self.place.report("left_behind", 0, self.hedge.grace)

    async def race_trio(self, inner: Callable[..., Any], fn: Any, args: Any, kwargs: Any) -> Any:
        """On trio: the nursery waits for the losers, however long they take."""
        import trio

        if self.budget is not None:
            self.budget.deposit()
        won: list[Any] = []
        failed: dict[int, Exception] = {}
        started = 0

        async def attempt(number: int) -> None:
            try:
                value = await inner(fn, args, kwargs)
            except Exception as error:
                failed[number] = error
                if len(failed) == started:
                    nursery.cancel_scope.cancel()
            else:
                won.append(value)
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                started = 1
                nursery.start_soon(attempt, 1)
                while True:
                    await clock.sleep(self.hedge.after)
                    if not self._may_add(started):
                        break
                    started += 1
                    nursery.start_soon(attempt, started)
        except BaseExceptionGroup as group:
            # The nursery puts each task's cancellation in; to the caller it is one.
            cancelled, others = group.split(trio.Cancelled)
            if others is not None or cancelled is None:
                raise
            await trio.lowlevel.checkpoint_if_cancelled()
            raise
        if won:
            if started > 1:
                self.place.report("won")
            return won[0]
        raise next(iter(failed.values()))


class _Bell:
    """Wakes one waiting task of its loop, now or the next time it waits."""

    __slots__ = ("_future", "_has_rung", "_loop", "is_time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._has_rung = False
        self.is_time = False
        """Whether the moment has come that the bell stood for among the pending ones."""

    def ring(self, _: object = None) -> None:
        """Wakes."""
        self._has_rung = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def told_of(self, attempt: Awaitable[Any]) -> Any:
        """Rings as the attempt ends.

        A callback of its task would ring a turn of the loop later, 1.5 µs. Only a task that is
        cancelled before it began does not come here; of the first one the timer tells then.
        """
        try:
            return await attempt
        finally:
            self.ring()

    def cancel(self) -> None:
        """Is called in place of a task's, when the moment has come."""
        self.is_time = True
        self.ring()

    async def wait(self) -> None:
        """Until it has rung since it was waited for last."""
        if not self._has_rung:
            self._future = self._loop.create_future()
            try:
                await self._future
            finally:
                self._future = None
        self._has_rung = False


def _look_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # a loser's error is nobody's
