"""Which strategy belongs outside which, and why: the table that policies are checked against.

`docs/resilience.md` prints it; a test compares the two.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from penstock.errors import Misuse

from .deadline import Deadline
from .errors import PolicyWarning
from .strategy import Strategy
from .timeout import Timeout

__all__ = ("CANONICAL", "RULES", "Rule", "Verdict", "check_order", "verdict")

Verdict: TypeAlias = Literal["canonical", "warned", "refused"]

CANONICAL = (
    "Fallback",
    "Cache",
    "Deadline",
    "AdaptiveLimit",
    "Bulkhead",
    "Retry",
    "Hedge",
    "RateLimit",
    "CircuitBreaker",
    "Timeout",
    "Chaos",
)
"""Outermost first. Any choice of these in this order is canonical, but Retry with Hedge."""


class Rule(NamedTuple):
    """What is said of each of `outer` standing anywhere outside each of `inner`."""

    outer: tuple[str, ...]
    inner: tuple[str, ...]
    verdict: Verdict
    reason: str


RULES = (
    Rule(
        ("Retry",),
        ("Hedge",),
        "refused",
        "each retry would be hedged, and attempts multiply; a call has one or the other",
    ),
    Rule(
        ("Hedge",),
        ("Retry",),
        "refused",
        "each hedge would be retried, and attempts multiply; a call has one or the other",
    ),
    Rule(
        ("Retry", "Hedge", "Timeout", "CircuitBreaker", "AdaptiveLimit"),
        ("Fallback",),
        "refused",
        "the fallback has answered before a failure could be seen outside it",
    ),
    Rule(
        ("Cache",),
        ("Fallback",),
        "warned",
        "the fallback's answer would be remembered as if it were the result",
    ),
    Rule(
        ("Deadline",),
        ("Fallback",),
        "warned",
        "a call that the deadline ends gets no fallback",
    ),
    Rule(
        ("Bulkhead", "RateLimit"),
        ("Fallback",),
        "warned",
        "a call that is refused a place gets no fallback",
    ),
    Rule(
        ("Deadline", "Timeout"),
        ("Cache",),
        "warned",
        "it bounds this caller's wait alone: the load they share goes on without a bound",
    ),
    Rule(
        ("Hedge",),
        ("Cache",),
        "refused",
        "the second attempt would wait for the same load as the first",
    ),
    Rule(
        ("Retry",),
        ("Cache",),
        "warned",
        "what is remembered as a failure would be asked for again in vain",
    ),
    Rule(
        ("AdaptiveLimit", "Bulkhead", "RateLimit", "CircuitBreaker"),
        ("Cache",),
        "warned",
        "answers from memory would take places, and be refused with them",
    ),
    Rule(
        ("Retry", "Hedge"),
        ("Deadline",),
        "refused",
        "a deadline is for all attempts together, and each would get its own; "
        "one attempt is bounded by Timeout",
    ),
    Rule(
        ("AdaptiveLimit", "Bulkhead", "RateLimit"),
        ("Deadline",),
        "warned",
        "the wait for a place would not count towards the deadline",
    ),
    Rule(
        ("CircuitBreaker",),
        ("Deadline",),
        "warned",
        "callers in a hurry would open the circuit for all",
    ),
    Rule(
        ("Timeout",),
        ("Deadline",),
        "refused",
        "one attempt cannot hold the whole call",
    ),
    Rule(
        ("Timeout",),
        ("Retry", "Hedge"),
        "refused",
        "Timeout bounds one attempt; the bound for all of them is Deadline",
    ),
    Rule(
        ("Timeout",),
        ("CircuitBreaker", "AdaptiveLimit"),
        "refused",
        "inside, a timeout is a cancellation, which counts as nothing: hanging calls would "
        "never be noticed",
    ),
    Rule(
        ("Timeout",),
        ("Bulkhead", "RateLimit"),
        "warned",
        "the wait for a place would count as time of the attempt",
    ),
    Rule(
        ("Bulkhead",),
        ("AdaptiveLimit",),
        "warned",
        "the learned limit never learns beyond the fixed one around it",
    ),
    Rule(
        ("Retry", "Hedge"),
        ("AdaptiveLimit", "Bulkhead"),
        "warned",
        "each attempt would ask for a place anew, and a call be refused half-way",
    ),
    Rule(
        ("RateLimit",),
        ("Retry", "Hedge"),
        "warned",
        "further attempts would not be counted, and the other side sees them all",
    ),
    Rule(
        ("CircuitBreaker",),
        ("Retry", "Hedge"),
        "warned",
        "a call with all its attempts would count once, so it opens late; and what it refuses "
        "in between is not seen",
    ),
    Rule(
        ("RateLimit",),
        ("AdaptiveLimit", "Bulkhead"),
        "warned",
        "turns would be used up by calls that are refused a place",
    ),
    Rule(
        ("CircuitBreaker",),
        ("AdaptiveLimit", "Bulkhead"),
        "warned",
        "a probe would wait in the queue, or be refused a place",
    ),
    Rule(
        ("CircuitBreaker",),
        ("RateLimit",),
        "warned",
        "a probe would wait for its turn, or be refused it",
    ),
    Rule(
        ("Chaos",),
        tuple(name for name in CANONICAL if name != "Chaos"),
        "warned",
        "what is inside never sees the faults",
    ),
)

_BY_PAIR = {(outer, inner): rule for rule in RULES for outer in rule.outer for inner in rule.inner}


def verdict(outer: str, inner: str) -> tuple[Verdict, str]:
    """What the table says of a pair, and why.

    Example:
        >>> verdict("Retry", "Timeout")[0]
        'canonical'
        >>> verdict("Timeout", "Retry")
        ('refused', 'Timeout bounds one attempt; the bound for all of them is Deadline')

    """
    if outer == inner:
        if outer == "RateLimit":
            return "canonical", "two limits over different times"
        return "refused", "one of a kind: its settings can say all that two would"
    rule = _BY_PAIR.get((outer, inner))
    if rule is None:
        return "canonical", ""
    return rule.verdict, rule.reason


def check_order(policy: str, strategies: Sequence[Strategy], *, stacklevel: int) -> None:
    """Raises Misuse for an order that cannot work; warns of one that rarely does what is meant."""
    names = [type(each).__name__ for each in strategies]
    wanted = " > ".join(sorted(names, key=CANONICAL.index))
    doubts = []
    for number, outer in enumerate(names):
        for inner in names[number + 1 :]:
            said, reason = verdict(outer, inner)
            if said == "refused":
                raise Misuse(
                    f"policy {policy!r}: {outer} outside {inner} cannot work: {reason}",
                    hint=f"outermost first: {wanted}" if outer != inner else None,
                )
            if said == "warned":
                doubts.append(f"{outer} outside {inner}: {reason}")
    _check_times(policy, strategies)
    for doubt in doubts:
        warnings.warn(
            f"policy {policy!r}: {doubt} (canonical: {wanted})",
            PolicyWarning,
            stacklevel=stacklevel + 1,
        )


def _check_times(policy: str, strategies: Sequence[Strategy]) -> None:
    deadlines = [each.seconds for each in strategies if isinstance(each, Deadline)]
    timeouts = [each.seconds for each in strategies if isinstance(each, Timeout)]
    if deadlines and timeouts and timeouts[0] >= deadlines[0]:
        raise Misuse(
            f"policy {policy!r}: Timeout({timeouts[0]:g}) never comes before "
            f"Deadline({deadlines[0]:g})",
            hint="Timeout is for one attempt, Deadline for all of them: make it shorter",
        )
