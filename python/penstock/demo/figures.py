"""The closing figures as plain data, for `--json`: what the table shows, unrounded."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from typing import Any

from .comparison import Comparison
from .rebooking.figures import rebooking_figures
from .run import Run

__all__ = ("figures",)


def figures(run: Run) -> dict[str, Any]:
    """Nested dictionaries, lists, numbers and text; durations in seconds, sizes in bytes.

    A figure that does not exist (the mean of no flights) is None.
    """
    plain = _plain(
        {
            "source": str(run.source),
            "lines": run.lines,
            "quarantined": run.quarantined,
            "quarantine": str(run.quarantine) if run.quarantined else None,
            "findings": asdict(run.findings),
            "most_made_up": None if run.recovery is None else asdict(run.recovery),
            "seconds": run.seconds,
            "peak_memory": run.peak_memory,
            "workers": run.workers,
            "utilisation": run.utilisation,
            "batches": run.batches,
            "largest_batch": run.largest_batch,
            "largest_stream": run.largest_stream,
            "stages": [asdict(stage) for stage in run.stages],
            "comparison": None if run.comparison is None else _compared(run.comparison),
            "rebookings": (None if run.rebookings is None else rebooking_figures(run.rebookings)),
        }
    )
    assert isinstance(plain, dict)
    return plain


def _compared(comparison: Comparison) -> dict[str, Any]:
    report = comparison.report.to_dict()
    del report["differences"]  # the same as text
    return report | {"disagreements": [asdict(each) for each in comparison.disagreements]}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    # NaN is not JSON.
    return None if isinstance(value, float) and isnan(value) else value
