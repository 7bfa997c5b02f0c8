"""What the run measures about itself, with the metrics room: counts, gauges, times per call."""

from __future__ import annotations

from penstock.metrics import Metrics
from penstock.streams import RunStatistics
from penstock.workers import WorkerPool

from .run import Sample, Stage

__all__ = ("Numbers",)

# Measurement → what one call of it works on.
_STAGES = {
    "parse": "block of lines",
    "join": "batch",
    "hand over": "batch, there and back",
    "analyse": "batch, in the worker",
    "merge": "batch's table",
}


class Numbers:
    """The run's own instruments, apart from those of the process.

    `measure(name, fn, *args)` calls a function, sync or async, and records how long it took.
    """

    def __init__(self) -> None:
        self._metrics = Metrics()
        self.measure = self._metrics.measure
        self._in_worker = self._metrics.histogram("analyse")
        self._flights = self._metrics.counter("flights_analysed")
        self._queued = self._metrics.gauge("batches_queued")
        self._busy = self._metrics.gauge("workers_busy")

    def analysed(self, flights: int, seconds: float) -> None:
        """Count one batch that came back; `seconds` is how long its worker took."""
        self._flights.inc(flights)
        self._in_worker.record(seconds)

    def sample(
        self,
        seconds: float,
        memory: int | None,
        lines: int,
        stream: RunStatistics,
        pool: WorkerPool,
    ) -> Sample:
        """Look at stream and pool now; any thread."""
        workers = pool.statistics()
        busy = workers.workers - workers.idle
        # A worker may have its next task lying ready beside the one that it runs.
        queued = max(workers.queued + workers.laid - busy, 0)
        self._busy.set(busy)
        self._queued.set(queued)
        return Sample(
            seconds=seconds,
            read=stream.bytes_read,
            total=stream.bytes_total,
            lines=lines,
            analysed=int(self._flights.value),
            memory=memory,
            queued=queued,
            busy=busy,
        )

    def stages(self) -> tuple[Stage, ...]:
        """Percentiles of every stage that ran."""
        snapshot = self._metrics.snapshot()
        found = ((name, unit, snapshot[name]) for name, unit in _STAGES.items())
        return tuple(
            Stage(name, unit, seen.count, seen.p50, seen.p90, seen.p99, seen.max)
            for name, unit, seen in found
            if seen.count
        )
