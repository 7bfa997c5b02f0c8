"""A small year of flights and what must come of it, made a third time and the slow way.

The database and the ledger are written while the cases are gone through, as a run would leave
them, with calls that were repeated and flights that give their seats back.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median_low

from penstock.demo.check import Files, check

# So many that every way to end occurs.
DAYS, FLIGHTS_A_DAY = 16, 11
ROUTES = (("EWR", "IAH", 1400), ("JFK", "LAX", 2475), ("LGA", "ORD", 733))
UNKNOWN_ROUTE = ("JFK", "PSP", 2378)  # only planes that nobody knows fly there

TABLES = """
CREATE TABLE seat_inventory (flight TEXT, capacity INTEGER, sold INTEGER, held INTEGER);
CREATE TABLE seat_hold (case_key TEXT, flight TEXT, seats INTEGER);
CREATE TABLE rebooking (case_key TEXT, outcome TEXT, reason TEXT, party INTEGER, refund INTEGER,
    event TEXT);
CREATE TABLE notice (event TEXT, case_key TEXT, outcome TEXT);
CREATE TABLE demo_run (one INTEGER, seed INTEGER, source TEXT, digest TEXT, cancelled INTEGER);
CREATE TABLE penstock_saga (seq INTEGER PRIMARY KEY, name TEXT, key TEXT, state TEXT);
CREATE TABLE penstock_outbox_event (seq INTEGER PRIMARY KEY, id TEXT, key TEXT);
CREATE TABLE penstock_outbox_dead (seq INTEGER PRIMARY KEY, id TEXT, key TEXT);
CREATE TABLE penstock_message (seq INTEGER PRIMARY KEY, id TEXT, key TEXT);
CREATE TABLE penstock_message_dead (seq INTEGER PRIMARY KEY, id TEXT, key TEXT);
"""


@dataclass(frozen=True)
class World:
    """A run that went well; `examples` has the key of one flight for each way to end."""

    files: Files
    seed: int
    examples: dict[str, str]

    def copy(self, folder):
        """Database and ledger to change; the rest is shared."""
        database, ledger = folder / "copy.db", folder / "copy.db.refunds.jsonl"
        shutil.copy(self.files.database, database)
        shutil.copy(self.files.ledger, ledger)
        return replace(self, files=self.files._replace(database=database, ledger=ledger))

    def verdict(self):
        return check(self.files, self.seed)

    def change(self, *statements):
        with closing(sqlite3.connect(self.files.database)) as connection, connection:
            for statement in statements:
                assert connection.execute(*statement).rowcount, statement

    def entries(self):
        return [json.loads(line) for line in self.files.ledger.read_text().splitlines()]

    def write_entries(self, entries):
        self.files.ledger.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))


def draw(seed, what, key):
    return int(sha256(f"{seed}/{what}/{key}".encode()).hexdigest()[:16], 16)


def write_planes(path, rng):
    seats = {f"N{n}": rng.choice((8, 20, 55, 149, 200)) for n in range(12)}
    rows = [[tail, 1999, number] for tail, number in seats.items()] + [["N98", 1999, "NA"]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("tailnum", "year", "seats"), *rows])
    return seats


def write_flights(path, quarantine, header, line, rng):
    """Writes the lines in no order, some twice and some broken; returns those that count."""
    flights = []
    for day in range(1, DAYS + 1):
        for origin, dest, miles in (*ROUTES, UNKNOWN_ROUTE):
            some = FLIGHTS_A_DAY if dest != "PSP" else 2
            for number in rng.sample(range(1, 60), some):
                hour = rng.randrange(24)
                flights.append(
                    {
                        "month": 2,
                        "day": day,
                        "hour": hour,
                        "minute": rng.choice((0, 15, 15, 59)),
                        "dep_time": "NA" if rng.random() < 0.25 else hour * 100,
                        "carrier": rng.choice(("UA", "B6", "9E")),
                        "flight": number,
                        "origin": origin,
                        "dest": dest,
                        "distance": miles,
                        "tailnum": rng.choice(("NA", "N99", "N98", *(f"N{n}" for n in range(12)))),
                    }
                )
                if dest == "PSP":
                    flights[-1]["tailnum"] = "N99"
    rng.shuffle(flights)
    lines, lost, good, keys = [header], [], [], set()
    for flight in flights:
        if rng.random() < 0.03:
            lost.append(len(lines) + 1)
            # One that cannot be read, and one that can, and was left out all the same.
            lines.append(rng.choice(("junk", line(**flight))))
        lines.append(line(**flight))
        if rng.random() < 0.03:
            lines.append(rng.choice(("", line(**flight, arr_delay=-1))))
        if (key := flight_key(flight)) not in keys:
            good.append(flight)
        keys.add(key)
        if rng.random() < 0.03:
            lines.append(line(**{**flight, "dep_time": "NA", "hour": 12, "distance": 1}))
    path.write_bytes("\r\n".join(lines).encode())
    with quarantine.open("w", newline="") as file:
        rows = [(number, "broken", lines[number - 1]) for number in sorted(lost, reverse=True)]
        csv.writer(file).writerows([("line", "reason", "text"), *rows])
    return good


def flight_key(flight):
    day = f"2013-{flight['month']:02}-{flight['day']:02}"
    return f"{day}-{flight['carrier']}{flight['flight']}-{flight['origin']}"


def write_world(folder: Path, header, line, number: int) -> World:
    """Make a whole run of a year that `number` decides about."""
    rng = random.Random(number)
    files = Files(
        folder / "flights.csv",
        folder / "planes.csv",
        folder / "quarantine.csv",
        folder / "demo.db",
        folder / "demo.db.refunds.jsonl",
    )
    seats = write_planes(files.planes, rng)
    flights = write_flights(files.data, files.quarantine, header, line, rng)
    run = _Run(flights, seats, number)
    with closing(sqlite3.connect(files.database)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(TABLES)
        run.write(connection, rng)
    world = World(files, number, run.examples)
    world.write_entries(run.ledger)
    return world


class _Run:
    def __init__(self, flights, seats, seed):
        self.seed = seed
        self.flights = {flight_key(flight): flight for flight in flights}
        for key, flight in self.flights.items():
            flight["key"] = key
            hour, minute = flight["hour"], flight["minute"]
            flight["at"] = datetime(2013, 2, flight["day"], hour, minute, tzinfo=UTC)
        self.seats = seats
        self.held, self.holds, self.candidates = {}, [], set()
        self.ledger, self.examples, self.ends = [], {}, {}
        # By time across all routes: that those do not touch each other is shown by the result.
        for case in sorted(self.flights.values(), key=lambda flight: (flight["at"], flight["key"])):
            if case["dep_time"] == "NA":
                self.ends[case["key"]] = self.settle(case)

    def capacity(self, flight):
        known = [f for f in self.flights.values() if f["tailnum"] in self.seats]
        if flight["tailnum"] in self.seats:
            return self.seats[flight["tailnum"]]
        same = [f for f in known if (f["origin"], f["dest"]) == (flight["origin"], flight["dest"])]
        return median_low([self.seats[f["tailnum"]] for f in same or known])

    def sold(self, flight):
        capacity = self.capacity(flight)
        more = draw(self.seed, "sold", flight["key"]) % (capacity * 31 // 100 + 1)
        return capacity * 65 // 100 + more

    def fare(self, flight):
        return 4000 + 9 * flight["distance"] + draw(self.seed, "fare", flight["key"]) % 9000

    def settle(self, case):
        key, party, taken = case["key"], self.sold(case), {}
        soon = [
            f
            for f in self.flights.values()
            if (f["origin"], f["dest"]) == (case["origin"], case["dest"])
            and f["dep_time"] != "NA"
            and timedelta() < f["at"] - case["at"] <= timedelta(hours=36)
        ]
        for flight in sorted(soon, key=lambda f: (f["at"], f["key"])):
            self.candidates.add(flight["key"])
            free = self.capacity(flight) - self.sold(flight) - self.held.get(flight["key"], 0)
            if take := min(free, party - sum(taken.values())):
                taken[flight["key"]] = take
        if sum(taken.values()) < party:
            return self.refuse(case, "no seat", "no_seat")
        refund = sum(
            number * max(0, self.fare(case) - self.fare(self.flights[other]))
            for other, number in taken.items()
        )
        if refund and draw(self.seed, "decline", key) % 1000 < 15:
            return self.refuse(case, "refund declined", "declined")
        if refund:
            self.pay(f"{key}/settle", "refund", key, refund)
        if draw(self.seed, "gate", key) % 1000 < 10:
            if refund:
                self.pay(f"{key}/undo-settle", "reversal", key, refund)
            return self.refuse(case, "gate closed", "reversed" if refund else "closed")
        for other, number in taken.items():
            self.held[other] = self.held.get(other, 0) + number
            self.holds.append((key, other, number))
        self.examples["refunded" if refund else "confirmed"] = key
        return "confirmed", None, party, refund

    def refuse(self, case, reason, example):
        self.examples[example] = case["key"]
        return "refused", reason, self.sold(case), 0

    def pay(self, key, kind, case, cents):
        entry = {"key": key, "kind": kind, "case": case, "cents": cents, "repeat": False}
        self.ledger.append(entry)
        if len(self.ledger) % 9 == 0:
            self.ledger.append({**entry, "repeat": True})

    def write(self, connection, rng):
        many = connection.executemany
        run = (1, self.seed, "flights.csv", "0" * 64, len(self.ends))
        connection.execute("INSERT INTO demo_run VALUES (?, ?, ?, ?, ?)", run)
        events = {key: f"{rng.getrandbits(64):016x}" for key in self.ends}
        rows = [(key, *end, events[key]) for key, end in self.ends.items()]
        many("INSERT INTO rebooking VALUES (?, ?, ?, ?, ?, ?)", rows)
        states = {"confirmed": "completed", "refused": "compensated"}
        sagas = [("rebook", key, states[end[0]]) for key, end in self.ends.items()]
        many("INSERT INTO penstock_saga (name, key, state) VALUES (?, ?, ?)", sagas)
        notices = [(events[key], key, end[0]) for key, end in self.ends.items()]
        rng.shuffle(notices)
        many("INSERT INTO notice VALUES (?, ?, ?)", notices)
        many("INSERT INTO seat_hold VALUES (?, ?, ?)", self.holds)
        inventory = [
            (key, self.capacity(flight), self.sold(flight), self.held.get(key, 0))
            for key, flight in self.flights.items()
            if key in self.candidates
        ]
        many("INSERT INTO seat_inventory VALUES (?, ?, ?, ?)", inventory)
