"""`metrics_app`: what Prometheus scrapes."""

from __future__ import annotations

from penstock import metrics
from penstock.errors import Misuse
from penstock.metrics.exposition import OPEN_METRICS, TEXT

from .interface import App, Receive, Scope, Send, answer, is_asked

__all__ = ("metrics_app",)


def metrics_app(registry: metrics.Metrics | None = None) -> App:
    """An ASGI application that answers every GET with the metrics of this process.

    `app.mount("/metrics", metrics_app())`, or serve it by itself on another port. As OpenMetrics
    where the `Accept` header asks for it, otherwise in the text format of Prometheus.

    Args:
        registry: of other metrics than the process's own.

    Of one process: where a server runs several workers, each answers for itself. Costs what
    `metrics.exposition()` does, on the loop's thread.

    """
    if registry is not None and not isinstance(registry, metrics.Metrics):
        raise Misuse(
            f"metrics_app: {registry!r} is no registry of metrics", hint="metrics_app(Metrics())"
        )
    exposition = metrics.exposition if registry is None else registry.exposition

    async def scrape(scope: Scope, receive: Receive, send: Send) -> None:
        if await is_asked(scope, receive, send):
            accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
            is_open = _prefers_open_metrics(accept.decode("latin-1").lower())
            text = exposition(openmetrics=is_open)
            await answer(scope, send, 200, text, OPEN_METRICS if is_open else TEXT)

    return scrape


def _prefers_open_metrics(accept: str) -> bool:
    """Whether it is asked for, and not less than plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind in weights:
            quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            try:
                weights[kind] = max(weights[kind], float(quality))
            except ValueError:
                continue
    openly, plainly = weights.values()
    return openly > 0 and openly >= plainly
