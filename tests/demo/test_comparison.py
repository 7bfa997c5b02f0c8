"""The old statistic beside the new one: the planted case is found, and nothing else is."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.batches import MISSING
from penstock.demo.comparison import compare_statistics
from penstock.demo.data import flights_file
from penstock.demo.figures import figures
from penstock.demo.pipeline import Settings, work_through
from penstock.demo.report import page
from penstock.demo.statistics import ENTRY, Kind, merge, tabulate
from tests.demo.outline import assert_sound


def table_of(delays_by_route):
    tables = []
    for route, delays in delays_by_route.items():
        names = np.array([route] * len(delays), "S8")
        tables.append(tabulate(Kind.ROUTE_ARRIVAL, names, np.array(delays, np.int64)))
    return merge(*tables) if tables else np.zeros(0, ENTRY)


def expected(delays_by_route):
    """Where the planted mistake shows, worked out with neither implementation."""
    found = []
    for route, delays in sorted(delays_by_route.items()):
        known = sorted(delay for delay in delays if delay != MISSING)
        count = len(known)
        if count and count % 10 == 0 and known[count * 9 // 10] != known[count * 9 // 10 - 1]:
            name = f"{route[:4].rstrip(chr(0))}-{route[4:]}"
            old, new = known[count * 9 // 10], known[count * 9 // 10 - 1]
            found.append((name, count, "p90", old, new))
    return found


def found_in(comparison):
    return [
        (each.route, each.flights, each.figure, each.old, each.new)
        for each in comparison.disagreements
    ]


delays = st.lists(st.integers(-60, 300) | st.just(MISSING), min_size=1, max_size=60)
codes = st.sampled_from(["EWR\0IAH", "JFK\0LAX", "LGA\0ORD"])


@given(st.dictionaries(codes, delays))
def test_exactly_the_planted_case_is_found(delays_by_route):
    comparison = compare_statistics(table_of(delays_by_route))
    assert found_in(comparison) == expected(delays_by_route)
    assert comparison.routes == len(delays_by_route)
    report = comparison.report
    assert report.compared.get("different", 0) == len(comparison.disagreements)
    assert (report.dropped, report.skipped, report.pending) == (0, 0, 0)


def test_a_run_shows_it(flights, tmp_path):
    path = flights(100)
    run = work_through(Settings(path, tmp_path / "quarantine.csv", 1), lambda _: None)
    assert found_in(run.comparison) == [("EWR-IAH", 100, "p90", 80.0, 79.0)]
    text = page(run)
    outline = assert_sound(text)
    assert outline.tags.count("figure") >= 10
    assert "An old statistic beside the new one" in text
    for words in (
        "1 different",
        "0.0\u00a0% match",
        "<td>EWR-IAH</td>",
        "<td>80</td>",
        "<td>79</td>",
    ):
        assert words in text
    plain = json.loads(json.dumps(figures(run)))["comparison"]
    assert plain["compared"] == {"different": 1}
    assert plain["disagreements"] == [
        {"route": "EWR-IAH", "flights": 100, "figure": "p90", "old": 80.0, "new": 79.0}
    ]
    assert plain["old"]["calls"] == plain["new"]["calls"] == 1


def test_without_a_difference_the_report_says_so(flights, tmp_path):
    path = flights(99)
    run = work_through(Settings(path, tmp_path / "quarantine.csv", 1), lambda _: None)
    assert run.comparison.disagreements == ()
    text = page(run)
    assert_sound(text)
    assert "100.0\u00a0% match" in text
    assert_sound(page(replace(run, comparison=compare_statistics(table_of({})))))


@pytest.mark.timeout(180)
def test_the_whole_year(tmp_path):
    source = flights_file(None)
    by_route = defaultdict(list)
    with zipfile.ZipFile(source) as archive, archive.open("flights.csv") as member:
        for flight in csv.DictReader(io.TextIOWrapper(member, newline="")):
            delay = flight["arr_delay"]
            by_route[f"{flight['origin']:\0<4}{flight['dest']}"].append(
                MISSING if delay == "NA" else int(delay)
            )
    comparison = compare_statistics(table_of(by_route))
    assert comparison.routes == 224
    assert found_in(comparison) == expected(by_route)
    assert len(comparison.disagreements) == 13
    assert comparison.report.match_rate == 211 / 224
    assert all(math.isfinite(each.old) for each in comparison.disagreements)
