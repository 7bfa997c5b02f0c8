"""A saga that runs in memory: the same execution, with nothing written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from penstock.errors import Misuse
from penstock.tracing import TraceContext

from .definition import Saga
from .execution import Execution
from .ids import saga_key
from .outcome import Outcome
from .raising import raise_unless_completed
from .store import Change, Claimed, Encode

__all__ = ("run_in_memory",)


class _NoJournal:
    owner = "memory"
    is_fenced = False

    async def write(self, _change: Change) -> None:
        # As a store would: each step's end is a point where others run, and a cancel is seen.
        await anyio.lowlevel.checkpoint()

    async def transact(
        self,
        _change: Change,
        _fn: Callable[..., Any],
        _args: Sequence[Any],
        _encode: Encode,
        _began: float,
    ) -> tuple[bytes, BaseException | None]:
        raise Misuse(
            "a saga in memory has no store to write to",
            hint='run it with a SagaStore: SagaStore.open("sqlite:///trips.db", sagas=[saga])',
        )

    async def pause(self, seconds: float) -> None:
        await anyio.sleep(seconds)


async def run_in_memory(saga: Saga[Any], context: Any, key: str | None) -> Outcome:
    saga.seal()
    found = Claimed(
        seq=0,
        name=saga.name,
        key=saga_key(saga.name, key),
        version=saga.version,
        fence=1,
        state="running",
        phase="do",
        step=0,
        attempt=1,
        is_unsure=False,
        crashes=0,
        pause=0.0,
        input=saga.encoded(context),
        traceparent=TraceContext.current().to_headers().get("traceparent"),
        failed_step=None,
        error=None,
        entries=0,
        done=(),
    )
    outcome = await Execution(saga, found, _NoJournal()).run(max_crashes=1)
    raise_unless_completed(outcome)
    return outcome
