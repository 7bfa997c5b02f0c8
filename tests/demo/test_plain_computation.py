"""The findings equal a plain computation: csv module, lists, statistics, one pass, one process."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections import defaultdict
from functools import cache
from statistics import median_low

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.demo.analysis import EARTH_RADIUS_MILES, analyse
from penstock.demo.batches import join
from penstock.demo.data import flights_file, read_reference
from penstock.demo.findings import find
from penstock.demo.parse import Parser
from penstock.demo.pipeline import Settings, work_through
from penstock.demo.recovery import Recovery
from penstock.demo.statistics import ENTRY, merge


@cache
def airports():
    path = flights_file(None).with_name("airports.csv")
    with path.open(newline="") as lines:
        return {row["faa"]: (float(row["lat"]), float(row["lon"])) for row in csv.DictReader(lines)}


@cache
def tails():
    with flights_file(None).with_name("planes.csv").open(newline="") as lines:
        return {row["tailnum"] for row in csv.DictReader(lines)}


@cache
def reference():
    return read_reference()


def number(text):
    return None if text == "NA" else int(text)


def great_circle(start, end):
    (lat1, lon1), (lat2, lon2) = (map(math.radians, place) for place in (start, end))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_MILES * math.asin(math.sqrt(half))


def plain(lines):
    """Everything `Findings` holds, computed the slow and obvious way."""
    flights = list(csv.DictReader(lines))
    arrivals, departures = defaultdict(list), defaultdict(list)
    for flight in flights:
        hour = f"{int(flight['hour']):02}"
        route = f"{flight['origin']}-{flight['dest']}"
        arrival, departure = number(flight["arr_delay"]), number(flight["dep_delay"])
        for group in ("all", ("carrier", flight["carrier"]), ("hour", hour), ("route", route)):
            arrivals[group].append(arrival)
            departures[group].append(departure)
    errors = []
    for flight in flights:
        ends, miles = (flight["origin"], flight["dest"]), int(flight["distance"])
        if miles and all(end in airports() for end in ends):
            errors.append(abs(great_circle(*(airports()[end] for end in ends)) - miles) / miles)
    unknown = [flight["tailnum"] for flight in flights if flight["tailnum"] not in tails()]
    return flights, arrivals, departures, errors, unknown


def assert_delays(found, delays):
    known = sorted(delay for delay in delays if delay is not None)
    assert (found.flights, found.count) == (len(delays), len(known))
    if not known:
        assert math.isnan(found.mean)
        return
    assert found.mean == sum(known) / len(known)
    assert found.median == median_low(known)
    assert found.p90 == known[math.ceil(0.9 * len(known)) - 1]
    assert found.greatest == known[-1]
    assert found.late == sum(delay >= 15 for delay in known) / len(known)


def assert_equal(findings, lines):
    flights, arrivals, departures, errors, unknown = plain(lines)
    assert findings.flights == len(flights)
    assert findings.without_departure == sum(delay is None for delay in departures["all"])
    assert_delays(findings.arrivals, arrivals.pop("all", []))
    assert_delays(findings.departures, departures.pop("all", []))
    for kind, found, expected in (
        ("carrier", findings.arrivals_by_carrier, arrivals),
        ("hour", findings.arrivals_by_hour, arrivals),
        ("route", findings.arrivals_by_route, arrivals),
        ("carrier", findings.departures_by_carrier, departures),
        ("hour", findings.departures_by_hour, departures),
    ):
        names = {group[1] for group in expected if group[0] == kind}
        assert {group.name for group in found} == names
        for group in found:
            assert_delays(group, expected[kind, group.name])
    assert findings.distances.compared == len(errors)
    assert findings.distances.without_coordinates == len(flights) - len(errors)
    if errors:
        # Differences are kept to a millionth; that is what "exact" means of them.
        assert findings.distances.mean == pytest.approx(math.fsum(errors) / len(errors), abs=5e-7)
        assert findings.distances.greatest == pytest.approx(max(errors), abs=5e-7)
    assert findings.flights_with_unknown_tail == len(unknown)
    assert findings.unknown_tails == len(set(unknown))


delay = st.integers(-90, 1500) | st.just("NA")
flight = st.fixed_dictionaries(
    {
        "dep_delay": delay,
        "arr_delay": delay,
        "carrier": st.sampled_from(("UA", "AA", "9E")),
        "hour": st.integers(0, 23),
        "origin": st.sampled_from(("JFK", "EWR", "LGA")),
        "dest": st.sampled_from(("LAX", "IAH", "SJU", "ORD")),
        "distance": st.integers(1, 3000),
        "tailnum": st.sampled_from(("N14228", "N24211", "N0", "NA")),
    }
)
broken = st.sampled_from(("", "junk", '"', "2013,1,1,,,,,,,,,,,,,,,,", "é" * 30))


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(flight | broken, max_size=60), block=st.integers(1, 20), size=st.integers(1, 4)
)
def test_any_small_file_in_any_split(header, line, items, block, size):
    texts = [item if isinstance(item, str) else line(**item) for item in items]
    kept = []
    parser = Parser("x", lambda number, reason, text: kept.append(text))
    blocks = [
        parser.parse(lines)
        for lines in (
            [header, *texts][start : start + block] for start in range(0, len(texts) + 1, block)
        )
    ]
    table = np.zeros(0, ENTRY)
    for start in range(0, len(blocks), size):
        table = merge(table, analyse(join(blocks[start : start + size]), reference())[1])
    good = [text for text, item in zip(texts, items, strict=True) if not isinstance(item, str)]
    assert kept == [item for item in items if isinstance(item, str) and item]
    assert_equal(find(table), [header, *good])


def test_small_batches_through_workers(header, line, tmp_path):
    """Twenty batches of five lines by two workers: what comes back is put together rightly."""
    lines = [line(arr_delay=n % 7, hour=n % 24, flight=n, tailnum=f"N{n % 9}") for n in range(99)]
    path = tmp_path / "flights.csv"
    path.write_text("\n".join([header, *lines]))
    settings = Settings(path, tmp_path / "quarantine.csv", 2, block_lines=5, batch_rows=5)
    run = work_through(settings, lambda _: None)
    assert run.batches == 20
    assert run.lines == 100
    assert_equal(run.findings, [header, *lines])


@pytest.mark.timeout(180)
def test_the_whole_year(tmp_path):
    source = flights_file(None)
    run = work_through(Settings(source, tmp_path / "quarantine.csv", 2), lambda _: None)
    with zipfile.ZipFile(source) as archive, archive.open("flights.csv") as member:
        assert_equal(run.findings, io.TextIOWrapper(member, newline=""))
    assert run.findings.flights == 336_776
    assert run.findings.without_departure == 8_255
    assert run.findings.arrivals.count == 327_346
    assert run.findings.arrivals.mean == 6.89537675731489
    assert run.recovery == Recovery(109, "2013-06-13", "EV", 4377, "EWR-JAX")
    assert run.quarantined == 0
    assert run.largest_batch >= 10_000_000
    assert 0 < run.largest_stream < 4096
    assert {stage.name for stage in run.stages} == {
        "parse",
        "join",
        "collect",
        "hand over",
        "analyse",
        "merge",
    }
    # Ten a second where the machine has nothing else to do.
    assert len(run.samples) >= run.seconds
    assert any(sample.busy for sample in run.samples)
