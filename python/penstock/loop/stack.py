"""The stack of another thread, while it stands still."""

from __future__ import annotations

import sys
from traceback import StackSummary, walk_stack
from types import FrameType

__all__ = ("frame_of", "stack_of")

_DEEPEST = 64


def frame_of(thread: int) -> FrameType | None:
    """The innermost Python frame of a thread, by its `threading.get_ident()`."""
    return sys._current_frames().get(thread)  # noqa: SLF001


def stack_of(frame: FrameType) -> StackSummary:
    """Its innermost calls, the last one last. Source lines are read when it is shown."""
    stack = StackSummary.extract(walk_stack(frame), limit=_DEEPEST, lookup_lines=False)
    stack.reverse()
    return stack
