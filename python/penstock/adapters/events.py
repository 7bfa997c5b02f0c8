"""What happens besides a plain call, as one counter."""

from __future__ import annotations

from penstock import metrics

__all__ = ("count",)

_counted = metrics.counter(
    "penstock_adapters_events",
    "callbacks called again, late or never; threads abandoned; comparisons and roll-outs",
    ("name", "event"),
)


def count(name: str, event: str) -> None:
    """Counts one event of a function, an adapter or a strangler."""
    _counted.inc(labels={"name": name, "event": event})
