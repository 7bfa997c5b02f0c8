"""Business transactions over several services that always end consistent, whoever dies.

A `Saga` is a list of steps with their compensations. `Saga.run` runs it in memory, a `SagaStore`
durably. Inside of a step `saga.current()` says which one it is, and under which idempotency key.
"""

from __future__ import annotations

from penstock._durable.pages import Page

from .current import CurrentStep, current
from .definition import Saga, Step
from .errors import Abort, SagaCompensated, SagaParked, StepTimeout
from .handle import SagaHandle
from .inspection import SagaRecord, SagaStep
from .outcome import Outcome, SagaState
from .saga_store import SagaStore
from .sync import SyncSagaHandle, SyncSagaStore
from .transaction import Transaction

__all__ = (
    "Abort",
    "CurrentStep",
    "Outcome",
    "Page",
    "Saga",
    "SagaCompensated",
    "SagaHandle",
    "SagaParked",
    "SagaRecord",
    "SagaState",
    "SagaStep",
    "SagaStore",
    "Step",
    "StepTimeout",
    "SyncSagaHandle",
    "SyncSagaStore",
    "Transaction",
    "current",
)
