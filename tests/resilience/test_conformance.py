"""The conformance suite's probes: right answers here, wrong ones from code written in a hurry."""

from __future__ import annotations

from pathlib import Path

import pytest

from benches.conformance import page
from benches.conformance.adapter import Adapter
from benches.conformance.packages import named
from benches.conformance.probe import all_probes

from .naive import Naive, NoCache

PROBES = all_probes()
each_probe = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
DOCUMENT = Path(__file__).parents[2] / "docs" / "resilience.md"


@each_probe
def test_penstock_gives_the_right_answer(probe):
    seen = probe.run(named("penstock"))
    assert seen.is_right, seen.words


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@each_probe
def test_a_probe_sees_what_is_wrong(probe):
    wrong = NoCache() if probe.name == "one-load-for-all" else Naive()
    seen = probe.run(wrong)
    assert not seen.is_right, seen.words


def test_the_adapter_of_penstock_has_every_strategy():
    for strategy in {probe.strategy for probe in PROBES}:
        assert getattr(type(named("penstock")), strategy) is not getattr(Adapter, strategy)


def test_what_is_stored_answers_every_probe_and_ours_are_right():
    stored = page.load()
    assert stored["packages"][0]["name"] == "penstock"
    for package in stored["packages"]:
        assert list(package["answers"]) == [probe.name for probe in PROBES]
        assert not any(answer.get("is_broken") for answer in package["answers"].values())
    assert all(answer["is_right"] for answer in stored["packages"][0]["answers"].values())


def test_the_page_is_what_is_stored():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(page.load(), PROBES)


def test_the_documentation_has_the_summary():
    text = DOCUMENT.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- conformance: begin -->\n")
    table, _, _ = rest.partition("\n<!-- conformance: end -->")
    assert table == page.summary(page.load(), PROBES)
