"""Counters, gauges, histograms and measurements that are cheap enough to leave on.

The functions here belong to one registry per process; `Metrics()` makes another, for a test or
for a part with names of its own.
"""

from __future__ import annotations

from penstock._native import (
    Counter,
    Distribution,
    Gauge,
    Histogram,
    MeasuredCall,
    Measurement,
    Timing,
)

from .families import CardinalityWarning, CounterFamily, GaugeFamily, HistogramFamily
from .registry import Metrics
from .snapshots import (
    CounterSnapshot,
    FamilySnapshot,
    GaugeSnapshot,
    HistogramSnapshot,
    MeasurementSnapshot,
    Snapshot,
)

__all__ = (
    "CardinalityWarning",
    "Counter",
    "CounterFamily",
    "CounterSnapshot",
    "Distribution",
    "FamilySnapshot",
    "Gauge",
    "GaugeFamily",
    "GaugeSnapshot",
    "Histogram",
    "HistogramFamily",
    "HistogramSnapshot",
    "MeasuredCall",
    "Measurement",
    "MeasurementSnapshot",
    "Metrics",
    "Snapshot",
    "Timing",
    "counter",
    "exposition",
    "gauge",
    "histogram",
    "measure",
    "measured",
    "snapshot",
)

_process = Metrics()

counter = _process.counter
exposition = _process.exposition
gauge = _process.gauge
histogram = _process.histogram
measure = _process.measure
measured = _process.measured
snapshot = _process.snapshot
