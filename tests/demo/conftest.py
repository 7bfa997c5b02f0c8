"""A flights file as small as a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
FIRST = {
    "year": "2013",
    "month": "1",
    "day": "1",
    "dep_time": "517",
    "sched_dep_time": "515",
    "dep_delay": "2",
    "arr_time": "830",
    "sched_arr_time": "819",
    "arr_delay": "11",
    "carrier": "UA",
    "flight": "1545",
    "tailnum": "N14228",
    "origin": "EWR",
    "dest": "IAH",
    "air_time": "227",
    "distance": "1400",
    "hour": "5",
    "minute": "15",
    "time_hour": "2013-01-01T10:00:00Z",
}


def _line(**changes: object) -> str:
    return ",".join(str(value) for value in {**FIRST, **changes}.values())


@pytest.fixture(scope="session")
def header() -> str:
    return HEADER


@pytest.fixture(scope="session")
def line() -> Callable[..., str]:
    """The year's first flight as a line, with columns changed by keyword."""
    return _line


@pytest.fixture
def flights(tmp_path: Path) -> Callable[[int], Path]:
    """A plain file of so many flights, their delays counting up."""

    def write(count: int) -> Path:
        path = tmp_path / "flights.csv"
        lines = [_line(flight=n, arr_delay=n % 90, hour=n % 24) for n in range(count)]
        path.write_text("\n".join([HEADER, *lines]) + "\n")
        return path

    return write
