"""Medians, and an interval for a median that assumes nothing about how noise is distributed.

Each of n rounds falls on either side of the true median like a coin, so the k-th smallest and the
k-th largest value enclose it with a probability that the binomial distribution gives (the sign
test, turned round). With fewer than six rounds even the extremes do not reach 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, inf
from statistics import median


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with the bounds that enclose the true one with probability `coverage`."""

    low: float
    median: float
    high: float
    coverage: float


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The narrowest such interval with at least the confidence asked for, else the extremes."""
    ordered = sorted(values)
    n = len(ordered)
    outside = 0  # of 2**n equally likely patterns, those that leave the median out on one side
    cut = 0
    for k in range((n + 1) // 2):
        further = outside + comb(n, k)
        if cut > 0 and 1 - further / 2 ** (n - 1) < confidence:
            break
        outside, cut = further, k + 1
    return Interval(
        ordered[cut - 1], median(ordered), ordered[n - cut], max(0.0, 1 - outside / 2 ** (n - 1))
    )


def paired(subject: Sequence[float], peer: Sequence[float], *, more_is_better: bool) -> Interval:
    """How many times as fast the subject is, taken round by round: drift hits both of a pair."""
    pairs = zip(subject, peer, strict=True)
    return interval([_times(a, b) if more_is_better else _times(b, a) for a, b in pairs])


def _times(a: float, b: float) -> float:
    """Counts may be zero: on both sides that is level, on one it is beyond every number."""
    if b == 0:
        return 1.0 if a == 0 else inf
    return a / b
