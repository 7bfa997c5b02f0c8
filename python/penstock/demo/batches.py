"""The layout of a batch: one numpy array of 160-byte records, so 65,536 flights are 10 MiB.

A single array means a single buffer, which a worker pool hands over by reference. The columns
of the file come first; those that a worker computes are zero until it has. Every integer of the
file is kept in nine digits at most, so that no sum over a file can overflow 64 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = (
    "BATCH_ROWS",
    "BLOCK_LINES",
    "COLUMNS",
    "COMPUTED",
    "INTEGERS",
    "LIMIT",
    "MISSING",
    "RECORD",
    "TEXTS",
    "Batch",
    "join",
)

Batch: TypeAlias = npt.NDArray[np.void]

BATCH_ROWS = 65_536
BLOCK_LINES = 4_096
MISSING = -(2**31)
LIMIT = 10**9

# Name → (least, greatest, may be NA): what a line must keep to, or it is quarantined.
INTEGERS: dict[str, tuple[int, int, bool]] = {
    "year": (1, 9999, False),
    "month": (1, 12, False),
    "day": (1, 31, False),
    "dep_time": (0, 2400, True),
    "sched_dep_time": (0, 2400, True),
    "dep_delay": (-LIMIT + 1, LIMIT - 1, True),
    "arr_time": (0, 2400, True),
    "sched_arr_time": (0, 2400, True),
    "arr_delay": (-LIMIT + 1, LIMIT - 1, True),
    "flight": (0, LIMIT - 1, False),
    "air_time": (0, LIMIT - 1, True),
    "distance": (0, LIMIT - 1, False),
    "hour": (0, 23, False),
    "minute": (0, 59, False),
}

# Name → most bytes. An NA is kept as it stands: it is no valid code of any of the four.
TEXTS: dict[str, int] = {"tailnum": 8, "origin": 4, "dest": 4, "carrier": 3}

# Filled by a worker.
COMPUTED: tuple[str, ...] = ("great_circle", "distance_error", "tail_known", "made_up")

COLUMNS: tuple[str, ...] = (*INTEGERS, *TEXTS, "time_hour")

RECORD = np.dtype(
    [
        *((name, np.int64) for name in INTEGERS),
        # Seconds since 1970: numpy exports no buffer of an array with datetimes in it, so such a
        # batch would be copied into the pickle stream.
        ("time_hour", np.int64),
        ("great_circle", np.float64),  # miles
        ("distance_error", np.float64),  # (great circle - published) / published
        *((name, f"S{size}") for name, size in TEXTS.items()),
        ("tail_known", np.bool_),
        ("made_up", np.int32),  # minutes made up in the air: departure delay - arrival delay
    ]
)


def join(blocks: Sequence[npt.NDArray[Any]]) -> Batch:
    """Join parsed blocks to one batch; a copy at memory speed."""
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
