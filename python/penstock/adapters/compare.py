"""`Compare`: how the new implementation is run beside the old one, and what counts as the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from typing import Any

from penstock.errors import Misuse
from penstock.resilience import (
    AttemptTimeout,
    CircuitBreaker,
    DeadlineExceeded,
    Policy,
    Timeout,
)

from .report import Verdict

__all__ = ("LATE", "Compare", "Comparison", "Observation")

# Other exceptions may be what the old one raised as well: no reason to stop comparing.
LATE = (AttemptTimeout, DeadlineExceeded)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one implementation did with a call: `error` is None where it answered."""

    value: Any
    error: Exception | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One call, and what both made of it; what `publish` is given."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    old: Observation
    new: Observation
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Compare:
    """Has a `Strangler` run the new implementation beside the old one, and compare the outcomes.

    The caller gets the old one's answer, and is gone by the time the other one begins: as a task of
    the loop, or in a thread for plain functions. Nothing that happens there reaches the caller: not
    its errors, which are findings, nor its time; and no cancellation of the caller reaches it.

    Both do what they do: a new implementation that writes, sends or charges does so a second time.
    Compare what only reads, or have it ask `comparing()`. Where one of them changes its arguments,
    `copy` keeps them apart.

    Outcomes are the same if both answered and `equal` says so, or both raised an exception of the
    same class.

    Args:
        sample: share of the calls that the old one answers.
        equal: of the old value and the new one; `==` unless you say otherwise.
        ignore: of both values: a difference that is known, and not counted against the new one.
        clean: what is shown of a value, in findings and to `publish`.
        label: of the arguments, once both are done: what is shown of them; by default their `repr`.
        copy: makes of an argument what the new one is given, before the old one runs.
        publish: is given each `Comparison`, in the thread or task that made it; quickly, please.
        timeout: seconds for the new one, if `policy` is None.
        policy: around the new one, by default a `Timeout`, and a `CircuitBreaker` that opens
            after 20 timeouts in a row. What it refuses is skipped; a refusal is no finding.
        max_pending: comparisons under way, and threads that were left behind when their time was
            up; beyond that comparisons are dropped, and counted.
        max_differences: findings that are kept, the first ones.
        max_shown: characters of each value in a finding.

    Raises Misuse for values that cannot work. What a function given here raises is logged, and
    makes the verdict "incomparable" if there is none. Source: GitHub's scientist.

    """

    sample: float = 1.0
    equal: Callable[[Any, Any], object] = eq
    ignore: Callable[[Any, Any], object] | None = None
    clean: Callable[[Any], object] | None = None
    label: Callable[..., object] | None = None
    copy: Callable[[Any], Any] | None = None
    publish: Callable[[Comparison], object] | None = None
    timeout: float = 10.0
    policy: Policy | None = None
    max_pending: int = 64
    max_differences: int = 20
    max_shown: int = 400

    def __post_init__(self) -> None:
        _check_number("sample", self.sample, 0.0, 1.0)
        _check_number("timeout", self.timeout, 1e-6, 1e9)
        for what in ("max_pending", "max_differences", "max_shown"):
            number = getattr(self, what)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise Misuse(f"Compare: {what}={number!r}", hint="a whole number from 1")
        for what in ("equal", "ignore", "clean", "label", "copy", "publish"):
            fn = getattr(self, what)
            if not callable(fn) and (fn is not None or what == "equal"):
                raise Misuse(f"Compare: {what}={fn!r} is no function")
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise Misuse(f"Compare: policy={self.policy!r} is no Policy")

    def policy_for(self, name: str) -> Policy:
        """That around the candidate of a strangler."""
        return self.policy or Policy(_name(name), _breaker(), Timeout(self.timeout))

    def policy_in_thread(self, name: str) -> Policy:
        """The same for threads, where time is looked after without a second thread."""
        return self.policy or Policy(_name(name), _breaker())


def _name(name: str) -> str:
    return f"{name} candidate"


def _breaker() -> CircuitBreaker:
    return CircuitBreaker(failure_threshold=20, open_for=30.0, on=LATE)


def _check_number(what: str, value: object, least: float, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]
        raise Misuse(f"Compare: {what}={value!r} is out of range", hint=f"{least:g} to {most:g}")
