"""The comparisons of one strangler: begun after the caller's answer, judged, counted, kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import anyio

from penstock._deadline import deadline_variable
from penstock._durable.cancellation import is_cancelled_from_outside
from penstock._loops import Place, current_hub
from penstock.errors import Rejected
from penstock.metrics import Histogram
from penstock.resilience.threads import hand_out

from .compare import LATE, Compare, Comparison, Observation
from .events import count
from .home import Task, current_home
from .report import VERDICTS, Difference, Verdict
from .shown import bounded

__all__ = ("Comparisons", "comparing")

_log = logging.getLogger("penstock.adapters")

_comparing: ContextVar[bool] = ContextVar("penstock_comparing", default=False)


def comparing() -> bool:
    """Whether the caller runs as the new side of a comparison, whose answer nobody gets.

    For code that must not send or write a second time. False in threads that do not have the
    context of their caller.
    """
    return _comparing.get()


class Comparisons:
    """What a strangler's `Compare` sets going. All of it may be called from any thread."""

    def __init__(
        self, name: str, new: Callable[..., Any], compare: Compare, seconds: Histogram
    ) -> None:
        self.name = name
        self.compare = compare
        self._new = new
        self._policy = compare.policy_for(name)
        self._seconds = seconds
        self._lock = threading.Condition()
        self._places: list[Place] = []
        self._tasks: set[Task] = set()  # of one loop's thread, as is the next
        self._ending: list[Place] = []
        self.pending = 0
        self.dropped = 0
        self.skipped = 0
        self._verdicts: dict[Verdict, int] = {}
        self.differences: list[Difference] = []

    # -- beginning ------------------------------------------------------------------------------

    def begin(self, call: Call, old: Observation, *, in_thread: bool) -> None:
        """Has the new one called, soon, elsewhere; never waits, never raises."""
        with self._lock:
            if self.pending >= self.compare.max_pending:
                self.dropped += 1
                return
            self.pending += 1
        try:
            context = copy_context()
            # What the caller has to be done by means nothing here, where nobody waits.
            context.run(deadline_variable.set, None)
            context.run(_comparing.set, True)
            if in_thread:
                hand_out(_Errand(self, partial(context.run, self._compare_blocking, call, old)))
            else:
                self._spawn(context, call, old)
        except Exception:
            self.ended()
            _log.exception("strangler %r: a comparison could not begin", self.name)

    def _spawn(self, context: Any, call: Call, old: Observation) -> None:
        home = current_home()
        assert home is not None, "an async call has just been awaited here"
        task: Task

        def ended() -> None:
            self._tasks.discard(task)
            self.ended()
            for place in self._ending if not self._tasks else ():
                place.wake()

        task = home.spawn(partial(self._compare, call, old), context, ended)
        self._tasks.add(task)

    # -- the new side ---------------------------------------------------------------------------

    async def _compare(self, call: Call, old: Observation) -> None:
        clock = _Stopwatch()
        try:
            value, error = await self._policy.run(partial(_outcome, self._new, call, clock)), None
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) or (
                not isinstance(failure, Exception | SystemExit) and is_cancelled_from_outside()
            ):
                raise
            if self._skips(failure):
                return
            value, error = None, _finding(failure)
        self._judge(call, old, Observation(value, error, clock.seconds()))

    def _compare_blocking(self, call: Call, old: Observation) -> None:
        clock = _Stopwatch()
        try:
            value, error = (
                self._policy.call(partial(_outcome_blocking, self._new, call, clock)),
                None,
            )
        except BaseException as failure:
            if self._skips(failure):
                return
            value, error = None, _finding(failure)
        self._judge(call, old, Observation(value, error, clock.seconds()))

    def _skips(self, failure: BaseException) -> bool:
        """Whether it was our own policy that refused; the candidate may call policies as well."""
        if not isinstance(failure, Rejected) or (
            getattr(failure, "policy", None) != self._policy.name
        ):
            return False
        with self._lock:
            self.skipped += 1
        count(self.name, "comparison_skipped")
        return True

    # -- the verdict ----------------------------------------------------------------------------

    def _judge(self, call: Call, old: Observation, new: Observation) -> None:
        self._seconds.record(new.seconds)
        try:
            verdict = self._verdict(old, new)
        except Exception:
            verdict = "incomparable"
            _log.exception("strangler %r: outcomes cannot be compared", self.name)
        finding = None
        if verdict not in {"same", "ignored"}:
            count(self.name, f"comparison_{verdict.replace(' ', '_')}")
            if len(self.differences) < self.compare.max_differences:
                finding = self._difference(call, old, new, verdict)
        with self._lock:
            self._verdicts[verdict] = self._verdicts.get(verdict, 0) + 1
            if finding is not None and len(self.differences) < self.compare.max_differences:
                self.differences.append(finding)
        self._publish(call, old, new, verdict)

    def _verdict(self, old: Observation, new: Observation) -> Verdict:
        compare = self.compare
        if old.error is not None and new.error is not None:
            return "same" if type(old.error) is type(new.error) else "different"
        if new.error is not None:
            return "timed out" if isinstance(new.error, LATE) else "failed"
        if old.error is not None:
            return "different"
        if compare.equal(old.value, new.value):
            return "same"
        if compare.ignore is not None and compare.ignore(old.value, new.value):
            return "ignored"
        return "different"

    def _difference(
        self, call: Call, old: Observation, new: Observation, verdict: Verdict
    ) -> Difference:
        most = self.compare.max_shown
        label = self.compare.label
        try:
            shown = call.shown(most) if label is None else str(label(*call.args, **call.kwargs))
        except Exception as error:
            shown = f"label failed: {bounded(error)}"
        return Difference(
            verdict=verdict,
            call=shown[:most],
            old=self._shown(old, most),
            new=self._shown(new, most),
            old_seconds=old.seconds,
            new_seconds=new.seconds,
        )

    def _shown(self, seen: Observation, most: int) -> str:
        if seen.error is not None:
            return f"raised {bounded(seen.error, most)}"
        return bounded(self._cleaned(seen.value), most)

    def _cleaned(self, value: Any) -> object:
        if self.compare.clean is None:
            return value
        try:
            return self.compare.clean(value)
        except Exception:
            _log.exception("strangler %r: clean= failed", self.name)
            return "clean= failed"

    def _publish(self, call: Call, old: Observation, new: Observation, verdict: Verdict) -> None:
        publish = self.compare.publish
        if publish is None:
            return
        old, new = (
            each if each.error is not None else replace(each, value=self._cleaned(each.value))
            for each in (old, new)
        )
        try:
            publish(Comparison(self.name, call.args, call.kwargs, old, new, verdict))
        except Exception:
            _log.exception("strangler %r: publish= failed", self.name)

    def counts(self) -> dict[Verdict, int]:
        """Comparisons by verdict, in the order in which they are told."""
        with self._lock:
            return {each: n for each in VERDICTS if (n := self._verdicts.get(each, 0))}

    # -- the end --------------------------------------------------------------------------------

    def ended(self) -> None:
        """One comparison is over, however it ended."""
        with self._lock:
            self.pending -= 1
            if self.pending:
                return
            self._lock.notify_all()
            places, self._places = self._places, []
        for place in places:
            place.wake()

    def settle(self, timeout: float | None) -> bool:
        """Waits in a thread until nothing is pending; False if the time is up before."""
        with self._lock:
            return self._lock.wait_for(lambda: not self.pending, timeout)

    async def asettle(self, timeout: float | None) -> bool:
        """The same on a loop."""
        place = current_hub().place()
        with self._lock:
            if not self.pending:
                return True
            self._places.append(place)
        try:
            return await place.wait(timeout)
        finally:
            with self._lock:
                if place in self._places:
                    self._places.remove(place)

    async def end(self) -> None:
        """Cancels the tasks that are under way, and waits for their end. Threads go on alone."""
        for task in list(self._tasks):
            task.cancel()
        place = current_hub().place()
        self._ending.append(place)
        try:
            with anyio.CancelScope(shield=True):
                if self._tasks:
                    await place.wait()
        finally:
            self._ending.remove(place)


class Call:
    """The arguments of one call, as the new side will be given them."""

    __slots__ = ("args", "kwargs")

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], copy: Callable[[Any], Any] | None
    ) -> None:
        if copy is not None:
            args = tuple(copy(each) for each in args)
            kwargs = {name: copy(each) for name, each in kwargs.items()}
        self.args = args
        self.kwargs = kwargs

    def shown(self, most: int) -> str:
        """As they stand in a call."""
        words = [bounded(each, most) for each in self.args]
        words += [f"{name}={bounded(each, most)}" for name, each in self.kwargs.items()]
        return f"({', '.join(words)})"


def _finding(failure: BaseException) -> Exception:
    """What the candidate raised, as an error: its exit or cancellation is nobody else's."""
    if isinstance(failure, Exception):
        return failure
    made = RuntimeError(f"raised {bounded(failure)}")
    made.__cause__ = failure
    return made


class _Stopwatch:
    """Times the candidate alone: not its policy, nor the way into another thread."""

    __slots__ = ("_began", "_ended")

    def __init__(self) -> None:
        self._began = perf_counter()
        self._ended: float | None = None

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_exception: object) -> None:
        self._ended = perf_counter()

    def seconds(self) -> float:
        """So far, where the candidate was left behind."""
        return (self._ended or perf_counter()) - self._began


async def _outcome(
    new: Callable[..., Coroutine[Any, Any, Any]], call: Call, clock: _Stopwatch
) -> Any:
    with clock:
        return await new(*call.args, **call.kwargs)


def _outcome_blocking(new: Callable[..., Any], call: Call, clock: _Stopwatch) -> Any:
    with clock:
        return new(*call.args, **call.kwargs)


class _Errand:
    """One comparison in a thread."""

    __slots__ = ("_comparisons", "_work")

    def __init__(self, comparisons: Comparisons, work: Callable[[], None]) -> None:
        self._comparisons = comparisons
        self._work = work

    def run(self) -> None:
        try:
            self._work()
        except BaseException:  # SystemExit of a candidate: this thread is lent to others next
            _log.exception("strangler %r: a comparison ended early", self._comparisons.name)
        finally:
            self._comparisons.ended()
