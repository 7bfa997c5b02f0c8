"""A schedule of a few lines, and the same flights worked through by hand-written plain code."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from statistics import median_low

import pytest

from penstock.demo.batches import join
from penstock.demo.data import _packaged, read_planes
from penstock.demo.parse import Parser
from penstock.demo.rebooking.schedule import Collector


@pytest.fixture(scope="session")
def schedule_of():
    """Lines, header first, to a schedule; `block` lines at a time, `size` blocks a batch."""

    def make(lines, block=4096, size=16):
        parser = Parser("x", lambda number, reason, text: None)
        blocks = [parser.parse(lines[at : at + block]) for at in range(0, len(lines), block)]
        collector = Collector(read_planes())
        for at in range(0, len(blocks), size):
            batch = join(blocks[at : at + size])
            assert collector.add(batch) is batch
        return collector.schedule()

    return make


def draw(seed, what, key):
    return int.from_bytes(sha256(f"{seed}/{what}/{key}".encode()).digest()[:8], "big")


@dataclasses.dataclass
class Case:
    key: str
    route: str
    distance: int
    party: int
    fare: int
    candidates: list
    legs: list = dataclasses.field(default_factory=list)

    @property
    def is_short(self):
        return sum(seats for _, seats in self.legs) < self.party

    @property
    def refund(self):
        fares = {key: fare for key, _, _, fare in self.candidates}
        return sum(seats * max(0, self.fare - fares[key]) for key, seats in self.legs)


@pytest.fixture(scope="session")
def work_out():
    """Lines, header first, to cases in the order of route, moment and key; no numpy, no SQL."""

    with _packaged("planes.csv").open(newline="") as file:
        plane_seats = {row["tailnum"]: int(row["seats"]) for row in csv.DictReader(file)}

    def work(lines, seed):
        flights = {}
        for row in csv.DictReader(io.StringIO("\n".join(lines))):
            year, month, day = int(row["year"]), int(row["month"]), int(row["day"])
            code, origin = f"{row['carrier']}{int(row['flight'])}", row["origin"]
            moment = datetime(year, month, 1, tzinfo=UTC) + timedelta(
                days=day - 1, hours=int(row["hour"]), minutes=int(row["minute"])
            )
            key = f"{year:04}-{month:02}-{day:02}-{code}-{origin}"
            flights.setdefault(key, (moment, key, origin, row["dest"], row))
        routes = defaultdict(list)
        for flight in flights.values():
            routes[flight[2:4]].append(flight)
        known = [
            plane_seats[f[4]["tailnum"]] for f in flights.values() if f[4]["tailnum"] in plane_seats
        ]
        everywhere = median_low(known) if known else 150
        cases = []
        for ends in sorted(routes):
            there = sorted(routes[ends], key=lambda flight: flight[:2])
            known = [plane_seats[f[4]["tailnum"]] for f in there if f[4]["tailnum"] in plane_seats]
            usual = median_low(known) if known else everywhere
            held = defaultdict(int)

            def numbers(flight, usual=usual):
                _, key, _, _, row = flight
                capacity = plane_seats.get(row["tailnum"], usual)
                sold = capacity * 65 // 100
                sold += draw(seed, "sold", key) % (capacity * 31 // 100 + 1)
                fare = 4000 + 9 * int(row["distance"]) + draw(seed, "fare", key) % 9000
                return key, capacity, sold, fare

            for flight in there:
                if flight[4]["dep_time"] != "NA":
                    continue
                key, _, party, fare = numbers(flight)
                last = flight[0] + timedelta(hours=36)
                case = Case(key, "-".join(ends), int(flight[4]["distance"]), party, fare, [])
                needed = party
                for other in there:
                    if flight[0] < other[0] <= last and other[4]["dep_time"] != "NA":
                        candidate = numbers(other)
                        case.candidates.append(candidate)
                        taken = min(needed, candidate[1] - candidate[2] - held[candidate[0]])
                        if taken:
                            case.legs.append((candidate[0], taken))
                            needed -= taken
                if not case.is_short:
                    for other_key, taken in case.legs:
                        held[other_key] += taken
                cases.append(case)
        return cases

    return work
