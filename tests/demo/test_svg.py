"""Scales and elements of the charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.svg import Scale, element, nice_ticks


def test_a_scale_maps_its_ends():
    scale = Scale(-10, 30, 200, 0)
    assert [scale(-10), scale(10), scale(30)] == [200, 100, 0]
    powers = Scale(1e-3, 1e1, 0, 400, logarithmic=True)
    assert [powers(1e-3), powers(1e-1), powers(1e1)] == [0, 200, 400]
    assert powers(0) == 0
    assert powers.ticks() == [1e-3, 1e-2, 1e-1, 1, 10]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-18, 110, [0, 50, 100]),
        (0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (3, 3, [3]),
        (0, float("nan"), [0]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert nice_ticks(low, high) == ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_within(low, span):
    ticks = nice_ticks(low, low + span)
    assert 1 <= len(ticks) <= 12
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_text_and_attributes_are_escaped():
    assert element("text", words="<a> & b", class_="x", stroke_width=2, id='"') == (
        '<text class="x" stroke-width="2" id="&quot;">&lt;a&gt; &amp; b</text>'
    )
    assert element("rect", x=1) == '<rect x="1"/>'


def test_what_xml_cannot_carry_is_replaced():
    assert element("text", words="a\x00\x1b\n\ud800", x="\x07") == (
        '<text x="\N{REPLACEMENT CHARACTER}">a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\n'
        "\N{REPLACEMENT CHARACTER}</text>"
    )
