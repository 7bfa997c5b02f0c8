"""The report is one well-formed page that needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from penstock.demo.analysis import analyse
from penstock.demo.data import read_reference
from penstock.demo.figures import figures
from penstock.demo.findings import find
from penstock.demo.parse import Parser
from penstock.demo.recovery import best_recovery
from penstock.demo.report import page
from penstock.demo.run import Run, Sample
from penstock.demo.stage import Stage
from penstock.demo.statistics import ENTRY
from tests.demo.outline import assert_sound
from tests.demo.rebookings import moments, rebookings


def run_of(table, batch, **changes):
    values = {
        "source": Path("flights <&>.csv"),
        "started": datetime(2013, 1, 1, 12, 0, tzinfo=UTC),
        "seconds": 1.5,
        "lines": 3,
        "quarantined": 1,
        "quarantine": Path("quarantine.csv"),
        "findings": find(table),
        "recovery": best_recovery(batch),
        "airlines": {"UA": 'United "Air" <Lines> & Co.'},
        "workers": 2,
        "batches": 1,
        "largest_batch": 480,
        "largest_stream": 700,
        "utilisation": 0.25,
        "stages": (Stage("parse", "block", 3, 0.001, 0.002, 0.003, 0.004),),
        "samples": tuple(
            Sample(n / 10, n * 100, 1600, n, n, 50_000_000 + n, n % 3, n % 2) for n in range(16)
        ),
    }
    return Run(**{**values, **changes})


@pytest.fixture
def run(header, line):
    parser = Parser("x", pytest.fail)
    block = parser.parse([header, line(dep_delay=50, arr_delay=40), line(hour=7), line(dest="SJU")])
    batch, table, _ = analyse(block, read_reference())
    return run_of(table, batch)


def test_the_page_is_well_formed_and_self_contained(run):
    text = page(run)
    outline = assert_sound(text)
    assert outline.tags.count("figure") >= 8
    for words in ("Arrival delay by scheduled hour", "Latency by stage", "Queue depth", "Memory"):
        assert words in text
    assert "prefers-color-scheme: dark" in text
    assert "United &quot;Air&quot; &lt;Lines&gt; &amp; Co." in text
    assert "flights &lt;&amp;&gt;.csv" in text


def test_a_run_over_no_flights_has_a_page_too(run):
    empty = run_of(
        np.zeros(0, ENTRY), np.zeros(0), recovery=None, stages=(), samples=(), quarantined=0
    )
    assert_sound(page(empty))
    assert figures(empty)["findings"]["arrivals"]["mean"] is None


def test_flights_that_never_arrived_have_a_page_too(header, line):
    block = Parser("x", pytest.fail).parse([header, line(arr_delay="NA", dep_delay="NA")])
    batch, table, _ = analyse(block, read_reference())
    assert_sound(page(run_of(table, batch, samples=(Sample(0.0, 0, 0, 0, 0, None, 0, 0),))))


def test_every_class_that_is_drawn_has_a_style(run):
    text = page(replace(run, rebookings=rebookings()))
    style, _, body = text.partition("</style>")
    used = {name for names in re.findall(r'class="([^"]+)"', body) for name in names.split()}
    assert {name for name in used if not re.search(rf"\.{name}(?![\w-])", style)} <= {"name"}


def test_the_second_half_has_its_section_and_the_seed_its_place(run):
    text = page(replace(run, rebookings=rebookings(seed=7)))
    assert_sound(text)
    assert "The cancelled flights, rebooked" in text
    assert "python -m penstock demo --seed 7" in text
    assert "22.9 s" in text
    assert "The cancelled flights, rebooked" not in page(run)


def test_time_and_memory_are_those_of_both_halves(run):
    whole = replace(run, rebookings=rebookings(seconds=2.5, moments=moments(2)))
    assert whole.total_seconds == 4.0
    assert whole.peak_memory == 140_200_000
    assert replace(whole, samples=()).peak_memory == 140_200_000
    unmeasured = tuple(replace(moment, memory=None) for moment in moments(2))
    assert replace(run, rebookings=rebookings(moments=unmeasured)).peak_memory == 50_000_015


def test_figures_are_the_runs_own(run):
    plain = figures(run)
    assert plain["findings"]["flights"] == 3
    assert plain["findings"]["arrivals"]["mean"] == (40 + 11 + 11) / 3
    assert plain["most_made_up"]["minutes"] == 10
    assert plain["peak_memory"] == 50_000_015
    assert plain["stages"][0]["p99"] == 0.003
    assert plain["rebookings"] is None
