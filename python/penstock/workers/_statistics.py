"""What a pool counts."""

from __future__ import annotations

import time
from typing import NamedTuple

from penstock.shared import Payload


class PoolStatistics(NamedTuple):
    """Figures of a pool at one moment; times in seconds, sizes in bytes."""

    workers: int
    """Processes now."""
    idle: int
    """Of them without a task."""
    queued: int
    """Tasks that no worker has yet."""
    laid: int
    """Tasks with a worker: running, or next in line there."""
    submitted: int
    completed: int
    failed: int
    """Ended by an exception; the lost ones among them."""
    lost: int
    """Their worker died under them."""
    cancelled: int
    restarts: int
    """Workers replaced because they died."""
    utilisation: float
    """Share of the workers' time spent in tasks since the start, 0 to 1."""
    run_mean: float
    run_max: float
    wait_mean: float
    """From submission to start."""
    wait_max: float
    payload_bytes: int
    """Bytes of tasks that travelled beside their pickle stream."""
    largest_payload: int
    """The most bytes one such task had in all."""
    largest_stream: int
    """The most bytes of pickle stream such a task had."""
    arena_held: int
    """Bytes of shared memory that some task or view holds."""
    arena_resident: int
    """Bytes of shared memory with pages behind them, held or kept warm."""


class Ledger:
    """Counts for one pool.

    Written by the reactor; what was submitted and cancelled, by any thread under the pool's lock.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started = self._stopped = 0
        self.submitted = self.completed = self.failed = self.lost = self.cancelled = 0
        self.restarts = 0
        self.busy = 0
        self._runs = 0
        self._run_sum = self._run_max = self._wait_sum = self._wait_max = 0
        self._payload_bytes = self._largest_payload = self._largest_stream = 0

    def start(self) -> None:
        self._started, self._stopped = time.monotonic_ns(), 0

    def stop(self) -> None:
        self._stopped = time.monotonic_ns()

    def ran(self, waited: int, elapsed: int) -> None:
        self._runs += 1
        self._run_sum += elapsed
        self._run_max = max(self._run_max, elapsed)
        self._wait_sum += waited
        self._wait_max = max(self._wait_max, waited)

    def payload(self, payload: Payload) -> None:
        self._payload_bytes += payload.nbytes - len(payload.stream)
        self._largest_payload = max(self._largest_payload, payload.nbytes)
        self._largest_stream = max(self._largest_stream, len(payload.stream))

    def read(self, levels: tuple[int, int, int, int, int], arena: dict[str, int]) -> PoolStatistics:
        workers, idle, queued, laid, busy = levels
        until = self._stopped or time.monotonic_ns()
        lived = (until - self._started) * self._workers if self._started else 0
        runs = max(1, self._runs)
        return PoolStatistics(
            workers=workers,
            idle=idle,
            queued=queued,
            laid=laid,
            submitted=self.submitted,
            completed=self.completed,
            failed=self.failed,
            lost=self.lost,
            cancelled=self.cancelled,
            restarts=self.restarts,
            utilisation=min(1.0, (self.busy + busy) / lived) if lived else 0.0,
            run_mean=self._run_sum / runs / 1e9,
            run_max=self._run_max / 1e9,
            wait_mean=self._wait_sum / runs / 1e9,
            wait_max=self._wait_max / 1e9,
            payload_bytes=self._payload_bytes,
            largest_payload=self._largest_payload,
            largest_stream=self._largest_stream,
            arena_held=arena["held"],
            arena_resident=arena["resident"],
        )
