"""`CircuitBreaker`: does not call what has just failed again and again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from penstock._loops import current_hub
from penstock.errors import Misuse
from penstock.tracing import current_span

from . import events
from .errors import CircuitOpen
from .scope import check_scope, exchange_label, exchange_module, shared_state
from .strategy import Part, Place, Strategy, check_count, check_number
from .weave_text import NOW_NS, indented
from .which import Which, check_which, takes

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("CircuitBreaker",)

LONGEST_ASKING = 0.05
"""Seconds for which a call that might be a probe waits for other machines."""

_EVENTS = {"open": "opened", "half_open": "half_opened", "closed": "closed"}


@dataclass(frozen=True, slots=True)
class CircuitBreaker(Strategy):
    """Opens when the other side fails, and lets single probes through to see when it is back.

    Closed, every call passes and is counted. Open, calls are refused with `CircuitOpen`, which
    costs the other side and the caller nothing. After `open_for` seconds it is half-open: at most
    `probes` calls pass at once; `success_threshold` successes close it, one failure more than
    `probe_failures` opens it again. A cancelled call counts as nothing, and gives its probe back.

    Args:
        failure_threshold: failures that open it: in a row with window="consecutive", else within
            the window; None to go by the rates alone.
        success_threshold: successful probes that close it.
        open_for: seconds from opening to the first probe.
        window: what failures are counted over: "consecutive" calls, the last `size` calls
            ("count"), or the last `size` seconds ("time").
        size: of the window, in calls or seconds.
        failure_rate: share of failures in the window that opens it, above 0 to 1.
        slow_rate: share of slow calls in the window that opens it, above 0 to 1.
        slow_after: seconds after which a call counts as slow.
        min_calls: calls that a window must hold before it opens anything.
        probes: calls at once while half-open.
        probe_failures: failed probes that are put up with.
        probe_expires: seconds after which a probe that has not ended is taken for lost.
        mode: "normal"; "shadow" counts and reports, and refuses nothing; "forced_open";
            "disabled".
        on: exceptions that are failures, or a function that decides. What a policy itself refused
            is none unless named here.
        on_result: a function that says of a result that it is a failure.
        scope: "process"; "machine": all worker processes open and close together; or
            "redis://host:port/db": those of several machines, where a machine whose own calls
            succeed follows the majority alone. Nothing waits for Redis but a call that might be a
            probe, for at most 50 ms; without it each machine goes on by itself.

    Raises Misuse for a value out of range, and for settings that could never open it.

    """

    failure_threshold: int | None = 5
    success_threshold: int = 1
    open_for: float = 60.0
    window: Literal["consecutive", "count", "time"] = "consecutive"
    size: float = 0
    failure_rate: float | None = None
    slow_rate: float | None = None
    slow_after: float | None = None
    min_calls: int = 1
    probes: int = 1
    probe_failures: int = 0
    probe_expires: float = 60.0
    mode: Literal["normal", "shadow", "forced_open", "disabled"] = "normal"
    on: Which = Exception
    on_result: Callable[[Any], bool] | None = None
    scope: str = "process"

    def __post_init__(self) -> None:
        me = "CircuitBreaker"
        if self.failure_threshold is not None:
            check_count(me, "failure_threshold", self.failure_threshold, 1)
        check_count(me, "success_threshold", self.success_threshold, 1)
        check_number(me, "open_for", self.open_for, above=True)
        check_count(me, "min_calls", self.min_calls, 1)
        check_count(me, "probes", self.probes, 1)
        check_count(me, "probe_failures", self.probe_failures, 0)
        check_number(me, "probe_expires", self.probe_expires, above=True)
        for name in ("failure_rate", "slow_rate"):
            if getattr(self, name) is not None:
                check_number(me, name, getattr(self, name), 0.0, 1.0, above=True)
        if self.slow_after is not None:
            check_number(me, "slow_after", self.slow_after, above=True)
        if self.mode not in {"normal", "shadow", "forced_open", "disabled"}:
            raise Misuse(
                f"{me}: mode={self.mode!r} is unknown",
                hint="normal, shadow, forced_open or disabled",
            )
        check_which(me, "on", self.on)
        if self.on_result is not None and not callable(self.on_result):
            raise Misuse(f"{me}: on_result={self.on_result!r} is not a function")
        check_scope(me, self.scope)
        self._check_window()

    def _check_window(self) -> None:
        me = "CircuitBreaker"
        if (self.slow_rate is None) != (self.slow_after is None):
            raise Misuse(
                f"{me}: slow_rate={self.slow_rate} with slow_after={self.slow_after}",
                hint="slow calls need both: a share, and the seconds that make a call slow",
            )
        if self.window == "consecutive":
            if self.failure_threshold is None:
                raise Misuse(f"{me}: without failure_threshold it never opens")
            if self.failure_rate or self.slow_rate or self.size:
                raise Misuse(
                    f"{me}: a rate needs a window, and failures in a row have none",
                    hint='window="count" with size= calls, or window="time" with size= seconds',
                )
            return
        if self.window == "count":
            check_count(me, "size", self.size, 1)
            for name in ("failure_threshold", "min_calls"):
                value = getattr(self, name)
                if value is not None and value > self.size:
                    raise Misuse(
                        f"{me}: {name}={value} is more than the window of {self.size} calls",
                        hint="it would never open",
                    )
        elif self.window == "time":
            check_number(me, "size", self.size, above=True)
        else:
            raise Misuse(
                f"{me}: window={self.window!r} is unknown", hint="consecutive, count or time"
            )
        if self.failure_threshold is None and not self.failure_rate and not self.slow_rate:
            raise Misuse(f"{me}: without a threshold or a rate it never opens")

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return BreakerPart(self, place)


class BreakerPart(Part):
    """The circuit: native, in this process or shared by the machine's."""

    def __init__(self, breaker: CircuitBreaker, place: Place) -> None:
        from penstock._native import BreakerState

        self.breaker = breaker
        self.place = place
        # At hand for refusals, which should cost next to nothing: a field of `place` costs 35 ns.
        self._policy, self._key = place.policy, place.key
        self._count_refusal = place.report.count_of("rejected")
        self._tell = place.report.tell
        self._link: Any = None
        unit = 1e9 if breaker.window == "time" else 1
        self.state = shared_state(
            breaker.scope,
            place,
            partial(
                BreakerState,
                window=breaker.window,
                size=round(breaker.size * unit),
                failure_threshold=breaker.failure_threshold or 0,
                failure_rate=breaker.failure_rate or 0.0,
                slow_rate=breaker.slow_rate or 0.0,
                slow_after=round((breaker.slow_after or 0.0) * 1e9),
                min_calls=breaker.min_calls,
                open_for=round(breaker.open_for * 1e9),
                probes=breaker.probes,
                success_threshold=breaker.success_threshold,
                probe_failures=breaker.probe_failures,
                probe_expires=round(breaker.probe_expires * 1e9),
                mode=breaker.mode,
                on_transition=partial(_tell, weakref.ref(self)),
                on_ghost=partial(_tell_of_ghost, weakref.ref(self)),
                exchange=exchange_label(breaker.scope),
            ),
        )

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """Two native calls around a success; everything else is out of line."""
        self._exchange()
        permit, since = code.local("permit"), code.local("since")
        acquire = code.bind("acquire", self.state.acquire)
        record = code.bind("record", self.state.record)
        failed = code.bind("failed", self.failed)
        if self._link is None:
            otherwise = f"raise {code.bind('refused', self.refused)}()"
        else:
            probe = self.probe if code.is_async else self.probe_blocking
            otherwise = f"{permit} = {code.wait}{code.bind('probe', probe)}()"
        took, start = "0", []
        if self.breaker.slow_after is not None:
            start = [f"{since} = {NOW_NS}"]
            took = f"{NOW_NS} - {since}"
        ok = "True"
        if self.breaker.on_result is not None:
            ok = f"{code.bind('judged', self.judged)}({permit}, value)"
        return [
            f"{permit} = {acquire}()",
            f"if {permit} is None:",
            f"    {otherwise}",
            *start,
            "try:",
            *indented(body),
            "except BaseException as error:",
            f"    {failed}({permit}, error, {took})",
            "    raise",
            f"{record}({permit}, {ok}, {took})" if took != "0" else f"{record}({permit}, {ok})",
        ]

    def refused(self) -> CircuitOpen:
        """Reports, and makes the error."""
        error = self.state.refusal(CircuitOpen, self._policy, self._key)
        self._count_refusal()
        if events.listeners or current_span() is not None:
            self._tell("rejected", 0, None, error)
        return error

    # Of several machines one probes at a time; which, is asked for where a permit is missing.

    async def probe(self) -> int:
        """The permit of a probe, or the error; waits for other machines if they must be asked."""
        if self._must_ask():
            seat = current_hub().place()
            if self._link.ask(seat.wake):
                try:
                    await seat.wait(LONGEST_ASKING)
                finally:
                    self._link.asked()
                return self._answered()
        return self._probe()

    def probe_blocking(self) -> int:
        """The same in a thread."""
        if self._must_ask():
            event = threading.Event()
            if self._link.ask(event.set):
                try:
                    event.wait(LONGEST_ASKING)
                finally:
                    self._link.asked()
                return self._answered()
        return self._probe()

    def _must_ask(self) -> bool:
        if self.state.mode == "forced_open" or self.state.retry_after() > 0:
            raise self.refused()
        return bool(self._link.may_probe() == "ask")

    def _answered(self) -> int:
        # No answer in time is no answer: this machine decides by itself.
        return self._take_probe() if self._link.may_probe() == "ask" else self._probe()

    def _probe(self) -> int:
        if self._link.may_probe() != "yes":
            raise self.refused()
        return self._take_probe()

    def _take_probe(self) -> int:
        permit: int | None = self.state.probe()
        if permit is None:
            raise self.refused()
        return permit

    def _exchange(self) -> None:
        label = exchange_label(self.breaker.scope)
        if label is not None and self._link is None:
            self._link = exchange_module().link_circuit(
                self.breaker.scope, label, self.place, self.state
            )

    def snapshot(self) -> dict[str, Any]:
        """The state's figures, and what is known of other machines."""
        snapshot = dict(self.state.snapshot())
        if self._link is not None:
            snapshot["exchange"] = self._link.status()
        return snapshot

    def shadowed(self) -> None:
        """A call passes that a breaker in normal mode would have refused."""
        self.place.report("would_reject")

    def failed(self, permit: int, error: BaseException, took: int) -> None:
        """Counts what was raised; a cancellation counts as nothing."""
        ok: bool | None = None
        try:
            if isinstance(error, Exception):
                ok = not takes(self.breaker.on, error)
                if ok and self._is_refusal(error):
                    ok = None
        finally:
            # Also when the user's function raises: the permit comes back in any case.
            self.state.record(permit, ok, took)

    def judged(self, permit: int, value: object) -> bool:
        """Whether a result counts as a success."""
        assert self.breaker.on_result is not None
        try:
            return not self.breaker.on_result(value)
        except BaseException:
            self.state.record(permit, None)
            raise

    @staticmethod
    def _is_refusal(error: Exception) -> bool:
        from penstock.errors import Rejected

        return isinstance(error, Rejected)  # by a strategy inside: nobody was asked

    def changed(self, _before: str, state: str, _generation: int, _at: int, is_own: bool) -> None:
        """Reports a change of the state, made by this process or seen by it."""
        if self._link is not None and is_own:
            self._link.changed()
        self.place.report(_EVENTS[state] if is_own else f"{_EVENTS[state]}_elsewhere")


def _tell(part: weakref.ref[BreakerPart], *change: Any) -> None:
    # Native, it cannot be seen by the collector: a part that its state held would never go.
    told = part()
    if told is not None:
        told.changed(*change)


def _tell_of_ghost(part: weakref.ref[BreakerPart]) -> None:
    told = part()
    if told is not None:
        told.shadowed()
