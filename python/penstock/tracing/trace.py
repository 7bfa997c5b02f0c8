"""A trace: spans that belong together, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from penstock._native import FinishedSpan
from penstock.errors import Misuse

from .waterfall import WaterfallRow

__all__ = ("Trace", "group")


class Trace:
    """The finished spans of one trace. Never changes; prints as a tree; pickles.

    Spans whose parent is not among them (it goes on, was dropped, or is another service's) stand
    at the top, beside the root.
    """

    def __init__(self, spans: Iterable[FinishedSpan]) -> None:
        self.spans = tuple(sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)))
        """In the order in which they began."""
        ids = {span.trace_id for span in self.spans}
        if len(ids) != 1:
            raise Misuse(
                f"a trace has spans of one trace id, not of {len(ids)}",
                hint="tracing.group(spans) makes a list of traces",
            )
        self.trace_id = ids.pop()

    @property
    def root(self) -> FinishedSpan:
        """The span that began it; the first one that is kept, if that is not among them."""
        tops = self._tops
        return next((span for span in tops if span.parent_id is None), tops[0])

    @property
    def start_ns(self) -> int:
        """When its first span began, in Unix nanoseconds."""
        return self.spans[0].start_ns

    @property
    def duration(self) -> float:
        """Seconds from the first begin to the last end."""
        return (max(span.end_ns for span in self.spans) - self.start_ns) * 1e-9

    @property
    def is_error(self) -> bool:
        """Whether any span ended with an error."""
        return any(span.status == "error" for span in self.spans)

    def children(self, span: FinishedSpan) -> tuple[FinishedSpan, ...]:
        """The spans right below one, in the order in which they began."""
        return tuple(self._below.get(span.span_id, ()))

    def walk(self) -> Iterator[tuple[int, FinishedSpan]]:
        """Depth and span, from the top, each above its children."""
        ahead = [(0, span) for span in reversed(self._tops)]
        while ahead:
            depth, span = ahead.pop()
            yield depth, span
            ahead.extend((depth + 1, child) for child in reversed(self.children(span)))

    def waterfall(self) -> list[WaterfallRow]:
        """Rows for a chart, top to bottom: who, how deep, from when, for how long."""
        return [
            WaterfallRow(
                name=span.name,
                depth=depth,
                start=(span.start_ns - self.start_ns) * 1e-9,
                duration=span.duration,
                tracer=span.tracer,
                status=span.status,
                span=span,
            )
            for depth, span in self.walk()
        ]

    @cached_property
    def _tops(self) -> list[FinishedSpan]:
        known = {span.span_id for span in self.spans}
        return [span for span in self.spans if span.parent_id not in known]

    @cached_property
    def _below(self) -> dict[str, list[FinishedSpan]]:
        below: dict[str, list[FinishedSpan]] = {}
        for span in self.spans:
            if span.parent_id is not None:
                below.setdefault(span.parent_id, []).append(span)
        return below

    def __str__(self) -> str:
        spans = "1 span" if len(self.spans) == 1 else f"{len(self.spans)} spans"
        lines = [f"trace {self.trace_id}: {spans}, {_time(self.duration)}"]
        for span in self._tops:
            self._draw(span, "", "", lines)
        return "\n".join(lines)

    def _draw(self, span: FinishedSpan, first: str, rest: str, lines: list[str]) -> None:
        # With a list of its own instead of recursion: a trace may be deeper than the stack.
        ahead = [(span, first, rest)]
        while ahead:
            span, first, rest = ahead.pop()
            lines.append(first + _line(span))
            children = self.children(span)
            last = len(children) - 1
            for n, child in reversed(list(enumerate(children))):
                branch, trunk = ("└─ ", "   ") if n == last else ("├─ ", "│  ")
                ahead.append((child, rest + branch, rest + trunk))

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[FinishedSpan]:
        return iter(self.spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)

    def __repr__(self) -> str:
        return f"<Trace {self.trace_id}: {len(self.spans)} spans>"

    def __reduce__(self) -> tuple[type[Trace], tuple[tuple[FinishedSpan, ...]]]:
        return Trace, (self.spans,)


def group(spans: Iterable[FinishedSpan]) -> list[Trace]:
    """The traces that `spans` belong to, in the order in which they began."""
    by_id: dict[str, list[FinishedSpan]] = {}
    for span in spans:
        by_id.setdefault(span.trace_id, []).append(span)
    return sorted((Trace(found) for found in by_id.values()), key=lambda trace: trace.start_ns)


def _line(span: FinishedSpan) -> str:
    words = [span.name, _time(span.duration)]
    if span.kind != "internal":
        words.append(f"({span.kind})")
    words.extend(f"{name}={value!r}" for name, value in span.attributes.items())
    if span.status == "error":
        words.append(f"ERROR {span.description}".rstrip())
    return " ".join(words)


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"
