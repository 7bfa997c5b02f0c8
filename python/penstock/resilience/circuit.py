"""A circuit as it is now, and the hand on its switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from penstock.errors import Misuse

if TYPE_CHECKING:
    from .circuit_breaker import BreakerPart

__all__ = ("Circuit",)


class Circuit:
    """What `policy.circuit` returns. Any thread may use it; a shared circuit is that of all."""

    __slots__ = ("_part",)

    def __init__(self, part: BreakerPart) -> None:
        self._part = part

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """Whether calls pass."""
        state: Literal["closed", "open", "half_open"] = self._part.state.state
        return state

    @property
    def mode(self) -> Literal["normal", "shadow", "forced_open", "disabled"]:
        """What the circuit does with its state."""
        mode: Literal["normal", "shadow", "forced_open", "disabled"] = self._part.state.mode
        return mode

    @mode.setter
    def mode(self, mode: Literal["normal", "shadow", "forced_open", "disabled"]) -> None:
        if mode not in {"normal", "shadow", "forced_open", "disabled"}:
            raise Misuse(
                f"circuit of policy {self._part.place.policy!r}: mode={mode!r} is unknown",
                hint="normal, shadow, forced_open or disabled",
            )
        self._part.state.set_mode(mode)

    def reset(self) -> None:
        """Closes it, and forgets what was counted."""
        self._part.state.reset()

    def snapshot(self) -> dict[str, Any]:
        """The figures behind the state; "exchange" with what is known of other machines."""
        return self._part.snapshot()

    def __repr__(self) -> str:
        return f"<circuit of policy {self._part.place.policy!r}: {self.state}, {self.mode}>"
