"""The waterfall shows a trace as it was: bars within the axis, parents above, failures marked."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.demo.svg import WIDTH
from penstock.demo.waterfall import MOST_ROWS, tracers, waterfall
from tests.demo.rebookings import SPANS, trace_of


def rows_of(trace):
    """Each drawn row: (title, name, x, y, width, classes of the bar, duration's text)."""
    drawing = ET.fromstring(waterfall(trace))
    rows = []
    for group in drawing.iter("g"):
        bar = next(rect for rect in group.iter("rect") if rect.get("class").startswith("bar"))
        name, time = (text for text in group.iter("text"))
        place = [float(bar.get(key)) for key in ("x", "y", "width")]
        rows.append((group.find("title").text, name, *place, bar.get("class").split(), time.text))
    return rows


def axis_of(trace):
    """From where to where the axis reaches, by the rules across the field."""
    drawing = ET.fromstring(waterfall(trace))
    rules = [line for line in drawing.iter("line") if line.get("class") in {"zero", "grid"}]
    return min(float(rule.get("x1")) for rule in rules), WIDTH - 62


spans = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "", "x" * 200]),
        st.sampled_from([f"tracer {n}" for n in range(9)]),
        st.integers(0, 1000),
        st.floats(0, 5000),
        st.floats(0, 5000),
        st.none() | st.just("boom"),
    ),
    min_size=1,
    max_size=MOST_ROWS,
)


@settings(deadline=None, max_examples=60)
@given(spans)
@example([("a", "t", 0, 0.0, 5.0, None), ("b", "t", 0, 5.0, 0.0, None)])
def test_every_span_has_a_bar_within_the_axis(drawn):
    trace = trace_of(
        [
            # Each hangs on an earlier one; any parent's number is made one of those before.
            (name, tracer, parent % number + 1 if number else 0, start, start + length, error)
            for number, (name, tracer, parent, start, length, error) in enumerate(drawn)
        ]
    )
    rows = rows_of(trace)
    assert len(rows) == len(drawn)
    first, last = axis_of(trace)
    for _, _, left, _, width, _, _ in rows:
        assert first <= left
        assert left + width <= last + 0.02
        assert width >= 1.49
    heights = [row[3] for row in rows]
    assert heights == sorted(heights)
    assert len(set(heights)) == len(heights)


def test_a_bar_begins_and_ends_where_its_span_did():
    trace = trace_of()
    first, last = axis_of(trace)
    for (_, _, left, _, width, _, _), row in zip(rows_of(trace), trace.waterfall(), strict=True):
        expected = first + (last - first) * row.start / trace.duration
        assert left == pytest.approx(expected, abs=1.6)
        assert width == pytest.approx(
            max((last - first) * row.duration / trace.duration, 1.5), abs=0.05
        )


def test_a_parent_stands_above_its_children_and_further_left():
    trace = trace_of()
    rows = rows_of(trace)
    order = [row.span.span_id for row in trace.waterfall()]
    for place, row in enumerate(trace.waterfall()):
        if row.span.parent_id is None:
            continue
        above = order.index(row.span.parent_id)
        assert above < place
        assert rows[above][3] < rows[place][3]
        assert float(rows[above][1].get("x")) < float(rows[place][1].get("x"))


def test_failed_spans_are_marked_beyond_their_colour():
    failed = [row for row in rows_of(trace_of()) if "failed" in row[5]]
    assert [row[1].text for row in failed] == ["settle", "handle notices"]
    assert all(row[6].startswith("✕ ") for row in failed)
    assert "failed: Busy: the desk answered busy" in failed[0][0]
    whole = [row for row in rows_of(trace_of()) if "failed" not in row[5]]
    assert not any("✕" in row[6] for row in whole)


def test_hovering_says_when_who_and_what():
    title = rows_of(trace_of())[4][0]
    assert title == "reserve: 16 ms, from 36 ms on\nby penstock.saga\nsaga.key = '2013'"


def test_one_span_of_no_length():
    ((_, _, left, _, width, _, time),) = rows_of(trace_of([("only", "t", 0, 5, 5, None)]))
    assert (left, width, time) == (156, 1.5, "0 ns")


def test_names_are_escaped_and_shortened_to_their_room():
    hostile = "<script>alert('&')</script>\x00\x1b[31m " * 4
    trace = trace_of([(hostile, "<b>&", 0, 0, 10, "<i>\x00"), (hostile, "t", 1, 0, 9, None)])
    drawing = waterfall(trace)
    assert "<script" not in drawing
    assert "<i>" not in drawing
    (_, upper, *_), (_, lower, *_) = rows_of(trace)
    assert upper.text.endswith("…")
    assert len(lower.text) < len(upper.text) < 25


def test_a_long_trace_is_cut_off():
    trace = trace_of([("step", "t", min(n, 1), n, n + 1, None) for n in range(MOST_ROWS + 10)])
    assert len(rows_of(trace)) == MOST_ROWS
    assert f"{MOST_ROWS} of {MOST_ROWS + 10} spans" in waterfall(trace)


def test_each_tracer_has_a_colour_and_the_last_one_stands_for_the_rest():
    assert tracers(trace_of()) == [
        ("t0", "penstock.demo"),
        ("t1", "penstock.workers"),
        ("t2", "penstock.saga"),
        ("t3", "penstock.outbox"),
        ("t4", "penstock.messages"),
    ]
    many = trace_of([("step", f"tracer {n}", min(n, 1), n, n + 1, None) for n in range(9)])
    assert [name for _, name in tracers(many)] == [*(f"tracer {n}" for n in range(5)), "others"]
    assert [row[5][1] for row in rows_of(many)] == ["t0", "t1", "t2", "t3", "t4", *["t5"] * 4]


def test_the_example_is_a_real_trace():
    assert len(trace_of()) == len(SPANS)
    assert trace_of().root.name == SPANS[0][0]
