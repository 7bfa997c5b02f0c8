"""`Fallback`: what is answered when the call failed for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import Misuse

from .strategy import Part, Place, Strategy
from .weave_text import indented
from .which import Which, check_which, takes

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("Fallback",)


class _Unset:
    def __repr__(self) -> str:
        return "<not given>"


_UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class Fallback(Strategy):
    """Answers with something else when what is inside raised.

    A refusal of the policy itself (an open circuit, a full bulkhead) and a deadline that is over
    count as failures here; a cancellation never does.

    Args:
        handler: called with the error and the call's own arguments; its result is the answer. An
            async function serves async calls only.
        value: the answer, in place of a handler.
        on: the exceptions that are answered, or a function that decides.

    Raises Misuse unless exactly one of `handler` and `value` is given.

    Example:
        >>> Fallback(value=[]).value
        []

    """

    handler: Callable[..., Any] | None = None
    value: Any = _UNSET
    on: Which = Exception

    is_for_blocks = False
    is_for_streams = False

    def __post_init__(self) -> None:
        if (self.handler is None) == (self.value is _UNSET):
            raise Misuse(
                "Fallback: give either a handler or value=",
                hint="Fallback(lambda error, *args: ...) or Fallback(value=None)",
            )
        if self.handler is not None and not callable(self.handler):
            raise Misuse(
                f"Fallback: {self.handler!r} cannot be called",
                hint="a constant answer is Fallback(value=...)",
            )
        check_which("Fallback", "on", self.on)

    def part(self, place: Place) -> Part:
        """See `Strategy`."""
        return FallbackPart(self, place)


class FallbackPart(Part):
    """Stands behind an `except`, and costs a success nothing."""

    def __init__(self, fallback: Fallback, place: Place) -> None:
        self.fallback = fallback
        self.place = place

    def weave(self, code: Weave, body: list[str]) -> list[str]:
        """See `Part`."""
        answer = code.bind("answer", self.answer if code.is_async else self.answer_blocking)
        takes_error = code.bind("takes", self.takes)
        failed = code.local("failed")
        return [
            f"{failed} = None",
            "try:",
            *indented(body),
            "except Exception as error:",
            f"    if not {takes_error}(error):",
            "        raise",
            f"    {failed} = error",
            f"if {failed} is not None:",
            "    try:",
            f"        value = {code.wait}{answer}({failed}, args, kwargs)",
            "    finally:",
            f"        {failed} = None",
        ]

    def takes(self, error: Exception) -> bool:
        """Whether this error is answered: the default means refusals by a policy, too."""
        on = self.fallback.on
        if on is Exception:
            return not isinstance(error, Misuse)
        return takes(on, error)

    async def answer(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """The answer to an async call."""
        self.place.report("answered", error=error)
        handler = self.fallback.handler
        if handler is None:
            return self.fallback.value
        value = handler(error, *args, **kwargs)
        return await value if hasattr(value, "__await__") else value

    def answer_blocking(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """The answer to a blocking call."""
        self.place.report("answered", error=error)
        handler = self.fallback.handler
        if handler is None:
            return self.fallback.value
        value = handler(error, *args, **kwargs)
        if isinstance(value, CoroutineType):
            value.close()
            raise Misuse(
                f"policy {self.place.policy!r}: the fallback is an async function, the call is not",
                hint="give a plain function, or use policy.run",
            ) from error
        return value
