"""The report is one well-formed page that needs nothing but itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

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

VOID = {"meta"}


class Outline(HTMLParser):
    """Checks that every element is closed by its own tag, and collects what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"href", "src"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


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


def assert_sound(text):
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    assert outline.links == []
    assert "script" not in outline.tags
    assert "url(" not in text
    assert "@import" not in text
    for drawing in re.findall(r"<svg.*?</svg>", text):
        ET.fromstring(drawing)
        # A coordinate that is no number draws nothing, silently.
        assert not re.search(r'="[^"]*\b(nan|inf)\b', drawing)
    return outline


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
    text = page(run)
    style, _, body = text.partition("</style>")
    used = {name for names in re.findall(r'class="([^"]+)"', body) for name in names.split()}
    assert {name for name in used if f".{name}" not in style} <= {"name"}


def test_figures_are_the_runs_own(run):
    plain = figures(run)
    assert plain["findings"]["flights"] == 3
    assert plain["findings"]["arrivals"]["mean"] == (40 + 11 + 11) / 3
    assert plain["most_made_up"]["minutes"] == 10
    assert plain["peak_memory"] == 50_000_015
    assert plain["stages"][0]["p99"] == 0.003
