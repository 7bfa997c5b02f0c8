"""`Strangler`: a new implementation grows around an old one, until that one can go."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from penstock.errors import Misuse
from penstock.metrics import Metrics
from penstock.resilience.form import form_of, name_of

from .candidate import Call
from .compare import Compare, Observation
from .comparisons import Comparisons
from .events import count
from .report import Report, SideFigures
from .rollout import Rollout, RolloutState
from .routing import Routing, Side

__all__ = ("Strangler",)

_log = logging.getLogger("penstock.adapters")

P = ParamSpec("P")
T = TypeVar("T")


class Strangler(Generic[P, T]):
    """Calls an old implementation or a new one of the same function; called as they are.

    To replace something in small steps, under real load: have the new one compared first, give it a
    share, let the share grow, and remove the old one. Both are plain functions, or both async ones.

    Who answers: what `forced` says in its block; then the call's `header`, if it has the value
    "old" or "new"; then `keys`; then the `share`, or that of the `rollout`. With a `key` the same
    key always has the same side, in every process, and a larger share only adds keys; without one
    it is drawn for each call. Everything else is answered by the old one.

    With `compare` the calls that the old one answers are also given to the new one, afterwards and
    elsewhere. `async with strangler:` (a part of a `Service`, too) waits at its end for comparisons
    that are under way, and then ends them; `await settled()` and `wait_settled()` do so in between.
    Without that they go with their loop.

    With `fall_back_per_call` an exception of the new one is answered by the old one: only where
    doing half of it twice does no harm. Cancellations and exits are no errors, and not counted.

    Args:
        name: for the report, for metrics, and part of what keys are placed by.
        old: the implementation that answers unless something says otherwise.
        new: the one to come, with the same arguments.
        share: of the calls or keys that go to the new one, 0 to 1.
        keys: those whose calls go to the new one: a set of keys, or a function of one.
        key: of the call's arguments: what it is about, such as the customer.
        header: name of a header that decides.
        headers: of the call's arguments; by default those of the first argument that has `headers`.
        compare: has both run, and reports what differs.
        rollout: grows the share by itself, and falls back by error rate.
        fall_back_per_call: whether the old one answers where the new one raised.

    Raises Misuse for what cannot work, when it is made. Any thread and loop may call. Costs about
    2 µs a call; one that is compared some 10 µs, and one in a thread a wake of that. What
    `report()` returns prints. Source: Fowler's Strangler Fig, GitHub's scientist.

    Example:
        >>> def old(price): return round(price * 1.19, 2)
        >>> def new(price): return price * 119 // 100
        >>> gross = Strangler("gross", old, new, compare=Compare())
        >>> gross(100), gross(10)
        (119.0, 11.9)
        >>> gross.wait_settled()
        True
        >>> [(each.call, each.old, each.new) for each in gross.report().differences]
        [('(10)', '11.9', '11')]

    """

    def __new__(cls, _name: str, old: Callable[P, T], *_args: Any, **_options: Any) -> Self:
        """One that is called as `old` is."""
        if cls is Strangler and callable(old) and form_of(old) == "async":
            return object.__new__(_AsyncStrangler)  # type: ignore[return-value]
        return object.__new__(cls)

    def __init__(
        self,
        name: str,
        /,
        old: Callable[P, T],
        new: Callable[P, T],
        *,
        share: float = 0.0,
        keys: Collection[Hashable] | Callable[[Any], bool] | None = None,
        key: Callable[..., Hashable] | None = None,
        header: str | None = None,
        headers: Callable[..., Mapping[str, str]] | None = None,
        compare: Compare | None = None,
        rollout: Rollout | None = None,
        fall_back_per_call: bool = False,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise Misuse(
                f"Strangler: {name!r} is no name", hint='the first argument: Strangler("prices", …)'
            )
        _check_sides(name, old, new)
        _check_share(name, share)
        for what, given, kind in (("compare", compare, Compare), ("rollout", rollout, Rollout)):
            if given is not None and not isinstance(given, kind):
                hint = f"{what}={kind.__name__}()"
                raise Misuse(
                    f"strangler {name!r}: {what}={given!r} is no {kind.__name__}", hint=hint
                )
        if rollout is not None and share:
            raise Misuse(f"strangler {name!r}: share={share!r}, and a rollout that sets the share")
        self.name = name
        self.rollout = None if rollout is None else RolloutState(name, rollout)
        """Where the roll-out stands, to look at, to stop and to resume; None without one."""
        self._old: Callable[..., Any] = old
        self._new: Callable[..., Any] = new
        self._share = float(share)
        self._routing = Routing(name, key, keys, header, headers)
        self._falls_back = fall_back_per_call
        self._lock = threading.Lock()
        self._answered: dict[Side, int] = {"old": 0, "new": 0}
        self._errors: dict[Side, int] = {"old": 0, "new": 0}
        self._answered_by_old = 0
        metrics = Metrics()  # of its own: two stranglers may have one name
        self._seconds = {
            side: metrics.histogram(f"{side}_seconds", "duration of a call") for side in _SIDES
        }
        self._compare = compare
        self._comparisons = (
            None if compare is None else Comparisons(name, new, compare, self._seconds["new"])
        )

    # -- calling --------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls the side whose turn it is; raises what that raises."""
        side = self._side(args, kwargs)
        value: Any
        if side == "new":
            began = perf_counter()
            try:
                value = self._new(*args, **kwargs)
            except Exception:
                if not self._failed(began):
                    raise
                value = self._old(*args, **kwargs)
            else:
                self._ended("new", perf_counter() - began, False)
            return value  # type: ignore[no-any-return]
        call = self._call_to_compare(args, kwargs)
        began = perf_counter()
        try:
            value = self._old(*args, **kwargs)
        except Exception as error:
            self._answer(began, call, None, error, in_thread=True)
            raise
        self._answer(began, call, value, None, in_thread=True)
        return value  # type: ignore[no-any-return]

    def _side(self, args: Any, kwargs: Any) -> Side:
        rollout = self.rollout
        if rollout is None:
            return self._routing.side(self._share, True, args, kwargs)
        return self._routing.side(rollout.share, rollout.status != "fallen back", args, kwargs)

    def _call_to_compare(self, args: Any, kwargs: Any) -> Call | None:
        compare = self._compare
        if compare is None or (compare.sample < 1.0 and random.random() >= compare.sample):  # noqa: S311
            return None
        try:
            return Call(args, kwargs, compare.copy)
        except Exception:
            _log.exception("strangler %r: copy= failed, nothing is compared", self.name)
            return None

    def _failed(self, began: float) -> bool:
        """The new one raised; whether the old one is to answer."""
        self._ended("new", perf_counter() - began, True)
        if not self._falls_back:
            return False
        with self._lock:
            self._answered_by_old += 1
        count(self.name, "answered_by_old")
        return True

    def _answer(
        self,
        began: float,
        call: Call | None,
        value: Any,
        error: Exception | None,
        *,
        in_thread: bool,
    ) -> None:
        seconds = perf_counter() - began
        self._ended("old", seconds, error is not None)
        if call is not None and self._comparisons is not None:
            seen = Observation(value, error, seconds)
            self._comparisons.begin(call, seen, in_thread=in_thread)

    def _ended(self, side: Side, seconds: float, failed: bool) -> None:
        self._seconds[side].record(seconds)
        with self._lock:
            self._answered[side] += 1
            self._errors[side] += failed
        if self.rollout is not None:
            self.rollout.record(side, failed)

    # -- looking and steering -------------------------------------------------------------------

    @property
    def share(self) -> float:
        """Share of the calls that go to the new one. May be set, unless a roll-out does so."""
        return self._share if self.rollout is None else self.rollout.share

    @share.setter
    def share(self, share: float) -> None:
        _check_share(self.name, share)
        if self.rollout is not None:
            raise Misuse(
                f"strangler {self.name!r}: its roll-out sets the share",
                hint="strangler.rollout.fall_back(reason), or .resume(step)",
            )
        self._share = float(share)

    def report(self) -> Report:
        """What has been seen so far; any thread."""
        seconds = {side: each.snapshot() for side, each in self._seconds.items()}
        with self._lock:
            sides = {
                side: SideFigures(self._answered[side], self._errors[side], seconds[side])
                for side in _SIDES
            }
            answered_by_old = self._answered_by_old
        seen = self._comparisons
        return Report(
            name=self.name,
            share=self.share,
            old=sides["old"],
            new=sides["new"],
            answered_by_old=answered_by_old,
            compared={} if seen is None else seen.judge.counts(),
            dropped=0 if seen is None else seen.dropped,
            skipped=0 if seen is None else seen.skipped,
            pending=0 if seen is None else seen.pending,
            differences=() if seen is None else seen.judge.differences(),
        )

    def wait_settled(self, timeout: float | None = None) -> bool:
        """Waits in a thread until no comparison is under way; False if `timeout` seconds pass.

        Not on a loop's thread, where `settled` waits.
        """
        return self._comparisons is None or self._comparisons.settle(timeout)

    async def settled(self, timeout: float | None = None) -> bool:
        """Waits until no comparison is under way; False if `timeout` seconds pass."""
        return self._comparisons is None or await self._comparisons.asettle(timeout)

    async def drain(self) -> None:
        """Waits for what is compared, for the candidate's timeout at most; stays open."""
        if self._compare is not None:
            await self.settled(self._compare.timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drains, and then ends what is compared still."""
        try:
            if error is None:
                await self.drain()
        finally:
            if self._comparisons is not None:
                await self._comparisons.end()

    def __repr__(self) -> str:
        rollout = "" if self.rollout is None else f", {self.rollout!r}"
        return f"<Strangler {self.name!r}, {self.share:g} to the new one{rollout}>"


class _AsyncStrangler(Strangler[P, T]):
    """One whose sides are async functions."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:  # type: ignore[override]
        side = self._side(args, kwargs)
        value: Any
        if side == "new":
            began = perf_counter()
            try:
                value = await self._new(*args, **kwargs)
            except Exception:
                if not self._failed(began):
                    raise
                value = await self._old(*args, **kwargs)
            else:
                self._ended("new", perf_counter() - began, False)
            return value
        call = self._call_to_compare(args, kwargs)
        began = perf_counter()
        try:
            value = await self._old(*args, **kwargs)
        except Exception as error:
            self._answer(began, call, None, error, in_thread=False)
            raise
        self._answer(began, call, value, None, in_thread=False)
        return value


_SIDES: tuple[Side, Side] = ("old", "new")


def _check_sides(name: str, old: Any, new: Any) -> None:
    for what, side in (("old", old), ("new", new)):
        if not callable(side):
            raise Misuse(f"strangler {name!r}: {what}={side!r} is no function")
        if "generator" in form_of(side):
            raise Misuse(
                f"strangler {name!r}: {name_of(side)} is a generator function",
                hint="it has no one answer; put the strangler around what it calls",
            )
    forms = [form_of(side) for side in (old, new)]
    if forms[0] != forms[1]:
        raise Misuse(
            f"strangler {name!r}: the old one is {forms[0]} and the new one {forms[1]}",
            hint="to_async makes an async function of a plain one",
        )


def _check_share(name: str, share: object) -> None:
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if not is_number or not 0 <= share <= 1:  # type: ignore[operator]
        raise Misuse(f"strangler {name!r}: share={share!r}", hint="from 0 to 1: 0.05 for 5 %")
