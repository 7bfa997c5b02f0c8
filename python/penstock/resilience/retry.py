"""`Retry`: how often, and after which pauses."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable
from dataclasses import dataclass

from penstock.errors import Misuse


@dataclass(frozen=True, slots=True)
class Retry:
    """How often something is tried, and how long to pause in between. An immutable value.

    Args:
        attempts: calls in all, the first one included; 1 never repeats.
        delay: seconds before the second attempt.
        multiplier: each further pause is so many times as long as the one before.
        max_delay: seconds; no pause is longer.
        jitter: the share of each pause that is drawn by lot, 0 to 1, so that many who failed
            together do not come back together. A pause lies between (1 - jitter) of its length
            and its length.

    Raises Misuse for a value that cannot work.

    Example:
        >>> retry = Retry(attempts=4, delay=1.0, jitter=0.0)
        >>> [retry.pause(attempt) for attempt in (1, 2, 3)]
        [1.0, 2.0, 4.0]

    """

    attempts: int = 3
    delay: float = 0.5
    multiplier: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise Misuse(f"Retry: attempts={self.attempts!r} is not a whole number")
        if self.attempts < 1:
            raise Misuse(
                f"Retry: attempts={self.attempts} calls nothing",
                hint="attempts counts the first call: 1 tries once, 3 repeats twice",
            )
        _within("delay", self.delay, 0.0, math.inf)
        _within("multiplier", self.multiplier, 1.0, math.inf)
        _within("max_delay", self.max_delay, 0.0, math.inf)
        _within("jitter", self.jitter, 0.0, 1.0)

    def pause(self, attempt: int, random: Callable[[], float] = _random.random) -> float:
        """Seconds to wait after attempt number `attempt` (from 1) has failed.

        `random` draws from 0 to 1; hand one in to make a test certain.
        """
        # An exponent far beyond max_delay would overflow.
        exponent = min(attempt - 1, 1000)
        try:
            full = self.delay * self.multiplier**exponent
        except OverflowError:
            full = math.inf
        full = min(full, self.max_delay) if self.delay else 0.0
        return full * (1.0 - self.jitter * random())


def _within(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misuse(f"Retry: {name}={value!r} is not a number")
    if not (least <= value <= most) or math.isinf(value):
        upper = "" if math.isinf(most) else f" to {most:g}"
        raise Misuse(f"Retry: {name}={value!r} is out of range", hint=f"from {least:g}{upper}")
