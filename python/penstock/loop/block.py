"""One time that a loop was blocked."""

from __future__ import annotations

from traceback import StackSummary

__all__ = ("LoopBlock",)


class LoopBlock:
    """A turn of an event loop that took too long. Told once, while it lasts if possible.

    `seconds` grows to its whole length when the turn ends; `is_over` says whether it has.
    """

    __slots__ = ("is_over", "seconds", "stack", "task")

    def __init__(
        self, seconds: float, stack: StackSummary | None, task: str | None, *, is_over: bool
    ) -> None:
        self.seconds = seconds
        """So far, or in all."""
        self.stack = stack
        """Of the loop's thread while it was blocked, the innermost call last; None where nobody
        could look in time: native code held the interpreter, or the machine was busy."""
        self.task = task
        """The name of the task that ran, where the loop knows it."""
        self.is_over = is_over

    @property
    def place(self) -> str:
        """File, line and function of the innermost call; empty without a stack."""
        if not self.stack:
            return ""
        frame = self.stack[-1]
        return f"{frame.filename}:{frame.lineno} in {frame.name}"

    def __str__(self) -> str:
        words = [f"event loop blocked for {self.seconds:.3f} s"]
        if self.task is not None:
            words.append(f"by task {self.task!r}")
        if self.stack:
            return " ".join(words) + ":\n" + "".join(self.stack.format()).rstrip("\n")
        return " ".join(words) + ", its stack was not to be seen"

    def __repr__(self) -> str:
        state = "over" if self.is_over else "going on"
        return f"<LoopBlock {self.seconds:.3f} s, {state}: {self.place or 'no stack'}>"
