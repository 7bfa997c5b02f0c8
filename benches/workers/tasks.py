"""What the workers run: as little as possible, so that the figures are the way there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAGE = 4096 // 8  # float64 values to a page

_kept: dict[int, NDArray[np.float64]] = {}


def nothing() -> None:
    """A call without arguments or result."""


def echo(value: int) -> int:
    return value


def touch(array: NDArray[np.float64]) -> float:
    """The sum of one value from every page, so that an array which did not come is noticed."""
    return float(array[::PAGE].sum())


def stamped(length: int, stamp: float) -> NDArray[np.float64]:
    """An array whose first and last value are the stamp; its memory is warm from the last call."""
    import numpy as np

    array = _kept.get(length)
    if array is None:
        array = _kept[length] = np.zeros(length)
    array[0] = array[-1] = stamp
    return array
