"""Tables of counts: exact, and the same however the flights are split and merged."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.batches import MISSING
from penstock.demo.statistics import ENTRY, Kind, groups, merge, tabulate

PAIRS = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=8).filter(lambda name: not name.endswith(b"\0")),
        st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3) | st.just(MISSING),
    ),
    max_size=50,
)


def table_of(pairs, kind=Kind.HOUR_ARRIVAL):
    return tabulate(
        kind,
        np.array([name for name, _ in pairs], dtype="S8"),
        np.array([value for _, value in pairs], dtype=np.int64),
    )


def counts_of(table):
    return {(row["group"], row["value"]): row["count"] for row in table}


@given(PAIRS)
def test_a_table_counts_each_pair(pairs):
    table = table_of(pairs)
    assert counts_of(table) == Counter(pairs)
    assert len(table) == len(set(pairs))
    assert table.dtype == ENTRY


@given(st.lists(st.tuples(st.sampled_from(Kind), PAIRS), max_size=6), st.randoms())
def test_merging_adds_up_in_any_order_and_grouping(parts, random):
    tables = [table_of(pairs, kind) for kind, pairs in parts]
    at_once = merge(np.zeros(0, ENTRY), *tables)
    random.shuffle(tables)
    one_by_one = np.zeros(0, ENTRY)
    for table in tables:
        one_by_one = merge(table, one_by_one)
    assert at_once.tolist() == one_by_one.tolist()
    expected = Counter((kind, *pair) for kind, pairs in parts for pair in pairs)
    assert {(r["kind"], r["group"], r["value"]): r["count"] for r in at_once} == expected


def test_groups_come_by_name_with_their_values_in_order():
    table = merge(
        table_of([(b"UA", 5), (b"AA", 2), (b"UA", -1)], Kind.CARRIER_ARRIVAL),
        table_of([(b"UA", 7)], Kind.CARRIER_DEPARTURE),
    )
    assert [
        (name, rows["value"].tolist()) for name, rows in groups(table, Kind.CARRIER_ARRIVAL)
    ] == [("AA", [2]), ("UA", [-1, 5])]
    assert list(groups(table, Kind.UNKNOWN_TAIL)) == []
