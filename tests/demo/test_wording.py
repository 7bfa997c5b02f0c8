"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from penstock.demo.wording import (
    counted,
    dollars,
    duration,
    integer,
    megabytes,
    minutes,
    percent,
    rate,
    shortened,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (integer(336776), "336,776"),
        (minutes(6.89537, 3), "6.895"),
        (minutes(NAN), "\N{EN DASH}"),
        (percent(0.2446, 0), "24\N{NO-BREAK SPACE}%"),
        (percent(NAN), "\N{EN DASH}"),
        (duration(12.345), "12 s"),
        (duration(0.00123), "1.2 ms"),
        (duration(0.000_456), "456 µs"),
        (duration(5e-7), "500 ns"),
        (duration(NAN), "\N{EN DASH}"),
        (megabytes(812), "0.0 MB"),
        (megabytes(1_500_000), "1.5 MB"),
        (megabytes(10_485_760), "10 MB"),
        (rate(950.4), "950"),
        (rate(62_345), "62\N{NO-BREAK SPACE}k"),
        (rate(1_250_000), "1.2\N{NO-BREAK SPACE}M"),
        (counted(1, "flight"), "1 flight"),
        (counted(8255, "flight"), "8,255 flights"),
        (counted(0, "refund"), "0 refunds"),
        (dollars(0), "$0.00"),
        (dollars(123_456_789), "$1,234,567.89"),
        (dollars(-105), "-$1.05"),
        (shortened("settle", 6), "settle"),
        (shortened("settle it", 8), "settle…"),
        (shortened("settle", 1), "…"),
    ],
)
def test_wording(said, expected):
    assert said == expected
