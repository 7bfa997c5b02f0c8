from __future__ import annotations

import pytest

from benches.units import BYTES, ITEMS, PER_ITEM, SECONDS


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (SECONDS.text(6.2e-8), "62.0 ns"),
        (SECONDS.text(1.55e-6), "1.55 µs"),
        (SECONDS.text(0.01), "10.0 ms"),
        (SECONDS.text(0.9996), "1.00 s"),
        (SECONDS.text(2e-10), "0.20 ns"),
        (ITEMS.text(5.2e6), "5.20 M items/s"),
        (ITEMS.text(999_700), "1.00 M items/s"),
        (ITEMS.text(12), "12.0 items/s"),
        (BYTES.text(1.25e9), "1.25 GB/s"),
        (BYTES.text(512), "512 B/s"),
        (PER_ITEM.text(0), "0 calls/item"),
        (PER_ITEM.text(0.00281), "0.00281 calls/item"),
        (PER_ITEM.text(1), "1 calls/item"),
    ],
)
def test_three_digits_and_the_prefix_that_fits(text: str, written: str) -> None:
    assert text == written


def test_better_goes_by_the_unit() -> None:
    assert ITEMS.times(6.0, 2.0) == 3
    assert SECONDS.times(2.0, 6.0) == 3
    assert ITEMS.meets(3e6, 3e6)
    assert not ITEMS.meets(2.9e6, 3e6)
    assert SECONDS.meets(60e-9, 60e-9)
    assert not SECONDS.meets(61e-9, 60e-9)
