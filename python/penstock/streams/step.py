"""A stage at work: whoever wants items pulls a list of them from the stage below.

The contract of `pull(want)`, which every stage keeps:

- a list is handed over for good; an empty one means "nothing yet, ask again", and None the end,
  again and again once it has been reached;
- `want` is how many items the taker can use at most: a source stops there, so that `take(3)`
  reads three items; a stage that cannot know (lines from a block of bytes) may return more;
- one pull does about one slice of work and never loops for more, so that the task that drives
  the chain can let the loop run between two pulls;
- a stage that fails inside a list returns what came before the failing item and raises at the
  next pull: so items, errors and `take` come out as they would one by one;
- a cancel while waiting loses nothing. A cancel inside a user's function leaves its item in an
  unknown state, so the stage is broken from then on and says so, rather than skip an item.

Stages that follow each other without a hand-over form a segment, which one task runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from penstock.errors import Closed

from .errors import locate
from .policy import Policy
from .statistics import Occupation, StageStatistics, Tally, Waiting

__all__ = ("Head", "Step", "close_segment")


class Step(ABC):
    """One stage of one run, fused with the stage before it."""

    def __init__(self, name: str, upstream: Step | None) -> None:
        self.name = name
        self.index: int = 0 if upstream is None else upstream.index + 1
        self.upstream = upstream
        self.tally = Tally()
        self.occupation: Occupation = Occupation() if upstream is None else upstream.occupation
        self._failure: BaseException | None = None

    @property
    def label(self) -> str:
        return f"stage {self.index} {self.name}"

    @abstractmethod
    async def pull(self, want: int) -> list[Any] | None:
        """Return what is next, as the contract above says."""

    async def close(self) -> None:  # noqa: B027
        """Give back what this stage holds; may be called again."""

    def buffered(self) -> int:
        return 0

    def waiting(self) -> Waiting:
        return self.occupation.waiting

    def statistics(self) -> StageStatistics:
        tally = self.tally
        return StageStatistics(
            self.name,
            tally.items_in,
            tally.items_out,
            tally.dropped,
            self.waiting(),
            self.buffered(),
        )

    async def _receive(self, want: int) -> list[Any] | None:
        assert self.upstream is not None
        items = await self.upstream.pull(want)
        if items:
            self.tally.items_in += len(items)
        return items

    async def _settle(
        self, policy: Policy, item: object, error: Exception, position: int
    ) -> Exception | None:
        """Let the item go, counted, or return the error that stops the run."""
        try:
            failure = await policy.settle(item, error)
        except BaseException:
            self._break(position)
            raise
        if failure is None:
            self.tally.dropped += 1
        return failure

    def _fail(self, error: BaseException, position: int | None, out: list[Any]) -> list[Any]:
        """Stop here with this error: at once, or after what came before it has been taken."""
        locate(error, self.label, position)
        self._failure = error
        if not out:
            raise error
        return self._emit(out)

    def _break(self, position: int) -> None:
        self._failure = Closed(
            f"{self.label} was cancelled inside its function, at item {position:,}; "
            f"the run cannot go on without losing or repeating that item",
            hint="put the timeout inside the function, or start the stream again",
        )

    def _emit(self, out: list[Any]) -> list[Any]:
        self.tally.items_out += len(out)
        return out


class Head(Step):
    """The first stage of a segment: a source, or the near side of a hand-over."""

    def __init__(self, name: str, upstream: Step | None) -> None:
        super().__init__(name, upstream)
        self.occupation = Occupation()


async def close_segment(tail: Step) -> None:
    """Close the stages that the task of this segment runs, last one first; keep the first error."""
    first: Exception | None = None
    step: Step | None = tail
    while step is not None:
        try:
            await step.close()
        except Exception as error:  # every stage is closed, whatever one of them raises  # noqa: BLE001
            locate(error, f"{step.label}, closing")
            first = first or error
        step = None if isinstance(step, Head) else step.upstream
    if first is not None:
        raise first
