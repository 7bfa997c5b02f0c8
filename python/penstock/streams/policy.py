"""What becomes of an item whose function raised: `on_error` of the stage that calls it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Literal

from penstock.errors import Misuse

__all__ = ("OnError", "OnFailure", "Policy")

OnFailure = Callable[[Any, Exception], Awaitable[object] | object]
OnError = Literal["stop", "skip"] | OnFailure


class Policy:
    """`"stop"` ends the run, `"skip"` drops the item, a callable is given it (a dead letter).

    Only `Exception` is ever dropped: cancellation, Ctrl-C and `SystemExit` always pass.
    """

    __slots__ = ("_receiver", "stops")

    def __init__(self, on_error: OnError, stage: str) -> None:
        self.stops = on_error == "stop"
        if isinstance(on_error, str):
            if on_error not in ("stop", "skip"):
                raise Misuse(
                    f'{stage}: on_error must be "stop", "skip" or a callable, got {on_error!r}',
                    hint="a callable is given the item and its error, and the run goes on",
                )
            self._receiver: OnFailure | None = None
        elif callable(on_error):
            self._receiver = on_error
        else:
            raise Misuse(
                f'{stage}: on_error must be "stop", "skip" or a callable, got {on_error!r}',
                hint="a callable is given the item and its error, and the run goes on",
            )

    async def settle(self, item: object, error: Exception) -> Exception | None:
        """Return the error that ends the run: this one, the receiver's own, or none."""
        if self.stops:
            return error
        if self._receiver is not None:
            try:
                answer = self._receiver(item, error)
                if isawaitable(answer):
                    await answer
            except Exception as failure:  # noqa: BLE001
                return failure
        return None
