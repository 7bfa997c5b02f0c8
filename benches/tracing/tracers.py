"""The same tracer in each library, with a way to read back how many spans were finished.

Every contender has a provider or store of its own, so that nothing global is touched. What
OpenTelemetry finishes goes through its batch processor to an exporter that only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

OPENTELEMETRY = (
    "BatchSpanProcessor with a queue that holds them all, to an exporter that counts, so no span "
    "is dropped and none encoded"
)


class Spans(NamedTuple):
    """What makes a span the current one of a block, and how many were finished in all."""

    begin: Callable[..., AbstractContextManager[Any]]
    total: Callable[[], int]


@contextmanager
def penstock_spans(*, sampled: bool = True) -> Iterator[Spans]:
    from penstock.tracing import Sampler, SpanStore, Tracer

    store = SpanStore()
    sampler = None if sampled else Sampler.parent_based(Sampler.ratio(0.0))
    tracer = Tracer("bench", store=store, sampler=sampler)
    yield Spans(tracer.span, lambda: store.statistics()["finished"])


@contextmanager
def opentelemetry_spans(*, sampled: bool = True) -> Iterator[Spans]:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBasedTraceIdRatio

    class Counting(SpanExporter):
        count = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.count += len(spans)
            return SpanExportResult.SUCCESS

    exporter = Counting()
    provider = TracerProvider(
        sampler=ALWAYS_ON if sampled else ParentBasedTraceIdRatio(0.0), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1 << 20))

    def total() -> int:
        provider.force_flush()
        return exporter.count

    try:
        yield Spans(provider.get_tracer("bench").start_as_current_span, total)
    finally:
        provider.shutdown()
