"""What all strategies are: immutable values, which a policy gives a state and weaves together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from penstock.errors import Misuse

from .scope import shown_scope

if TYPE_CHECKING:
    from .events import Reporter
    from .weave import Weave

__all__ = ("Part", "Place", "Strategy", "check_count", "check_number")


class Place(NamedTuple):
    """Where a strategy stands: what its state needs to know of the policy around it."""

    policy: str
    key: str
    report: Reporter


class Strategy(ABC):
    """The base of all strategies."""

    __slots__ = ()

    is_for_blocks: ClassVar[bool] = True
    """Whether `attempts()` can do it: it neither needs the result nor runs the call elsewhere."""
    is_for_streams: ClassVar[bool] = True
    """Whether it means something for an async generator."""

    @abstractmethod
    def part(self, place: Place) -> Part:
        """A fresh state of this strategy, for one key of one policy."""

    def describe(self) -> str:
        """The strategy with every setting, defaults included."""
        settings = []
        for each in fields(self):  # type: ignore[arg-type]  # every strategy is a dataclass
            value = getattr(self, each.name)
            if each.name == "scope":
                value = shown_scope(value)
            is_default = each.default is not MISSING and each.default == value
            settings.append(f"{each.name}={_shown(value)}{' (default)' if is_default else ''}")
        return f"{type(self).__name__}: {', '.join(settings)}"


class Part(ABC):
    """A strategy's state and its place in the fused call."""

    needs_task: ClassVar[bool] = False
    """Whether its code uses `task` and `loop`, which the call then looks up once."""

    @abstractmethod
    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """The lines of this strategy around `body`, which leaves its result in `value`."""


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple):
        return f"({', '.join(_shown(each) for each in value)})"
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    return repr(value)


def check_number(
    strategy: str,
    name: str,
    value: object,
    least: float = 0.0,
    most: float = math.inf,
    *,
    above: bool = False,
) -> None:
    """Raises Misuse unless `value` is a finite number in [least, most], or above `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misuse(f"{strategy}: {name}={value!r} is not a number")
    fits = least < value <= most if above else least <= value <= most
    if not fits or math.isinf(value):
        start = f"above {least:g}" if above else f"from {least:g}"
        end = "" if math.isinf(most) else f" to {most:g}"
        raise Misuse(f"{strategy}: {name}={value!r} is out of range", hint=start + end)


def check_count(strategy: str, name: str, value: object, least: int) -> None:
    """Raises Misuse unless `value` is a whole number from `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Misuse(f"{strategy}: {name}={value!r} is not a whole number")
    if value < least:
        raise Misuse(f"{strategy}: {name}={value!r} is out of range", hint=f"from {least}")
