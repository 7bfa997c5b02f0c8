"""Parsing: every good line is kept exactly, every bad one reported with its number and reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.batches import BATCH_ROWS, COLUMNS, INTEGERS, MISSING, RECORD
from penstock.demo.failures import DemoError
from penstock.demo.parse import Parser

BAD = {
    "month": "13",
    "day": "0",
    "hour": "24",
    "minute": "-1",
    "dep_time": "2401",
    "arr_delay": "1e3",
    "dep_delay": " 5",
    "flight": "NA",
    "distance": "1_000",
    "air_time": "٣",
    "year": "",
    "carrier": "ABCD",
    "tailnum": "N1234567X",
    "origin": "ÖWR",
    "time_hour": "yesterday",
}


@pytest.fixture
def bad():
    return []


@pytest.fixture
def parser(bad):
    return Parser("flights.csv", lambda *entry: bad.append(entry))


def test_a_batch_of_the_default_size_is_ten_mebibytes():
    assert RECORD.itemsize * BATCH_ROWS == 10 * 2**20


def test_a_line_is_kept_field_by_field(parser, header, line, bad):
    block = parser.parse([header, line(arr_delay="NA", tailnum="NA")])
    assert not bad
    record = block[0]
    assert [record[name] for name in ("year", "dep_delay", "distance")] == [2013, 2, 1400]
    assert record["arr_delay"] == MISSING
    assert record["tailnum"] == b"NA"
    assert record["carrier"] == b"UA"
    assert record["time_hour"].astype("M8[s]") == np.datetime64("2013-01-01T10:00:00")


@pytest.mark.parametrize(("column", "value"), BAD.items())
def test_a_bad_field_costs_its_line_only(parser, header, line, bad, column, value):
    text = line(**{column: value})
    block = parser.parse([header, line(flight=1), text, line(flight=2)])
    assert block["flight"].tolist() == [1, 2]
    [(number, reason, kept)] = bad
    assert (number, kept) == (3, text)
    # The reason shows the value or, where that could be a novel, the column.
    assert column in reason or repr(value) in reason


@pytest.mark.parametrize("text", ["", "   ", "\r"])
def test_blank_lines_are_no_lines(parser, header, line, bad, text):
    assert len(parser.parse([header, text, line()])) == 1
    assert not bad


def test_a_line_too_short_and_one_too_long_do_not_make_up_for_each_other(parser, header, line, bad):
    short, long = line().rpartition(",")[0], line() + ",x"
    assert len(parser.parse([header, short, long, line()])) == 1
    assert [(number, reason) for number, reason, _ in bad] == [
        (2, "18 fields, not 19"),
        (3, "20 fields, not 19"),
    ]


def test_line_numbers_go_on_from_block_to_block(parser, header, line, bad):
    parser.parse([header, line()])
    parser.parse([line(), "junk"])
    parser.parse(["more junk"])
    assert [number for number, _, _ in bad] == [4, 5]
    assert (parser.lines, parser.bad) == (5, 2)


def test_a_lost_line_is_reported_and_keeps_its_number(parser, header, line, bad):
    """Lines 2 and 4 never reached the parser: whoever read the file could not give them."""
    parser.lose(2, "is too long", "xxx")
    parser.lose(4, "is too long", "yyy")
    parser.parse([header, "three", "five", line()])
    assert [(number, text) for number, _, text in bad] == [
        (2, "xxx"),
        (4, "yyy"),
        (3, "three"),
        (5, "five"),
    ]
    assert parser.lines == 6


def test_quoted_fields_are_understood(parser, header, line, bad):
    block = parser.parse([header, line(carrier='"UA"', flight='"7"'), line(carrier='"U"A')])
    assert block["carrier"].tolist() == [b"UA"]
    assert block["flight"].tolist() == [7]
    assert bad[0][0] == 3
    assert "quotes" in bad[0][1]


def test_carriage_returns_do_not_matter(parser, header, line, bad):
    block = parser.parse([header + "\r", line(flight=3) + "\r", line(flight=4)])
    assert block["flight"].tolist() == [3, 4]
    assert not bad


@given(order=st.permutations((*COLUMNS, "remark", "gate")))
def test_the_header_decides_the_order_and_may_name_more(header, line, order):
    fields = dict(zip(header.split(","), line().split(","), strict=True))
    fields |= {"remark": "", "gate": "B 22"}
    parser = Parser("x", pytest.fail)
    block = parser.parse([",".join(order), ",".join(fields[name] for name in order)])
    assert block.tolist() == Parser("y", pytest.fail).parse([header, line()]).tolist()


def test_a_missing_column_is_named(parser, header):
    with pytest.raises(DemoError) as caught:
        parser.parse([header.replace(",tailnum", "").replace(",hour", "")])
    assert caught.value.what == "flights.csv"
    assert "has no column hour, tailnum" in caught.value.why


def test_a_file_that_is_no_flights_file_is_refused(parser):
    with pytest.raises(DemoError) as caught:
        parser.parse(["PK\x03\x04 whatever"])
    assert "not the header of a flights file" in caught.value.why


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                name: st.integers(max(least, -(10**8)), greatest)
                | (st.just("NA") if optional else st.nothing())
                for name, (least, greatest, optional) in INTEGERS.items()
            }
        ),
        max_size=20,
    )
)
def test_any_integers_within_their_bounds_come_through(header, line, rows):
    bad: list[object] = []
    parser = Parser("x", lambda *entry: bad.append(entry))
    block = parser.parse([header, *(line(**row) for row in rows)])
    assert not bad
    for record, row in zip(block, rows, strict=True):
        assert {name: record[name] for name in row} == {
            name: MISSING if value == "NA" else value for name, value in row.items()
        }
