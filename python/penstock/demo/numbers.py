"""What the run measures about itself, with the metrics room: counts, gauges, times per call."""

from __future__ import annotations

from penstock.metrics import HistogramSnapshot, MeasurementSnapshot, Metrics
from penstock.streams import RunStatistics
from penstock.workers import WorkerPool

from .run import Sample
from .stage import Stage

__all__ = ("Numbers",)

# Instrument → the stage's name, and what one call of it works on.
_STAGES = {
    "parse": ("parse", "block of lines"),
    "join": ("join", "batch"),
    "collect": ("collect", "batch"),
    "hand_over": ("hand over", "batch, both ways"),
    "analyse": ("analyse", "batch, in the worker"),
    "merge": ("merge", "batch's table"),
}


class Numbers:
    """The run's own instruments, apart from those of the process.

    `measured(name)` decorates a function, sync or async, so that every call of it is timed.
    """

    def __init__(self) -> None:
        self._metrics = Metrics()
        self.measured = self._metrics.measured
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
        stages = []
        for instrument, (name, unit) in _STAGES.items():
            seen = snapshot.get(instrument)
            if isinstance(seen, (MeasurementSnapshot, HistogramSnapshot)) and seen.count:
                stages.append(Stage(name, unit, seen.count, seen.p50, seen.p90, seen.p99, seen.max))
        return tuple(stages)
