"""CPU work off the event loop, in processes whose death costs one task."""

from __future__ import annotations

from ._in_worker import run_in_worker
from ._pool import WorkerPool
from ._results import Results
from ._statistics import PoolStatistics
from .errors import RemoteError, WorkerLost

__all__ = ("PoolStatistics", "RemoteError", "Results", "WorkerLost", "WorkerPool", "run_in_worker")
