"""How far a state reaches: this process, or all processes of this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.errors import Misuse

if TYPE_CHECKING:
    from .strategy import Place

__all__ = ("check_scope", "state_name")

_SHARED_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check_scope(strategy: str, scope: object) -> None:
    """Raises Misuse for a scope there is not."""
    if scope not in {"process", "machine"}:
        raise Misuse(f"{strategy}: scope={scope!r} is unknown", hint='"process" or "machine"')


def state_name(scope: str, place: Place) -> str | None:
    """The name of a state in the machine's table; None for one of this process."""
    if scope != "machine":
        return None
    if not _SHARED_NAME.fullmatch(place.policy):
        raise Misuse(
            f'policy {place.policy!r}: {place.report.strategy} with scope="machine" needs a name '
            "that other processes can ask for",
            hint="1 to 64 letters, digits, dots, dashes and underscores",
        )
    return place.policy
