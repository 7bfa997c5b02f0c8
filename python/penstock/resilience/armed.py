"""The lines that bound an awaited body by a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .lazy import Slot
from .weave_text import indented

if TYPE_CHECKING:
    from .weave import Weave

__all__ = ("armed",)


def armed(
    code: Weave, body: list[str], when: str, slot: Slot, exceeded: Callable[[], Exception]
) -> list[str]:
    """`body`, ended at the moment in `when`; then what `exceeded` makes is raised."""
    made = code.bind("exceeded", exceeded)
    if code.form == "trio":
        scope = code.local("scope")
        return [
            f"{scope} = enter_trio({when})",
            f"with {scope}:",
            *indented(body),
            f"if {scope}.cancelled_caught:",
            f"    raise {made}()",
        ]
    bucket, pending, key = code.local("bucket"), code.local("pending"), code.local("key")
    at_hand = code.bind("slot", slot)
    return [
        f"{bucket} = {at_hand}.bucket",
        f"if {bucket}.loop() is not loop:",
        f"    {bucket} = {at_hand}.find(loop)",
        f"{pending} = {bucket}.pending",
        # One look-up where there is no entry yet. One that is there belongs to a call around this
        # one, and stays; so does the knowledge of a cancel that somebody else has swallowed.
        f"{key} = task",
        f"if {pending}.setdefault(task, {when}) is not {when} or task.cancelling():",
        f"    {key} = again({pending}, task, {when})",
        f"if {when} < {bucket}.watch.next:",
        f"    {bucket}.watch.wake_at({when})",
        "try:",
        *indented(body),
        "except BaseException as error:",
        f"    if {pending}.pop({key}) is FIRED and is_ours({key}, error):",
        "        await let_scopes_win()",
        f"        raise {made}() from error",
        "    raise",
        f"if {pending}.pop({key}) is FIRED:",
        "    task.uncancel()",
    ]
