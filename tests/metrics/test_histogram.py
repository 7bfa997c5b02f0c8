"""Histograms against exact statistics, and against the definition of their buckets."""

from __future__ import annotations

import array
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Misuse
from penstock.metrics import Distribution, Histogram

ERROR = {3: 0.0443, 4: 0.0219, 5: 0.0109}
QUANTILES = (0.0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0)


def histogram(scale: int = 4) -> Histogram:
    return Histogram("h", "", None, scale)


def recorded(values: object, scale: int = 4) -> Distribution:
    made = histogram(scale)
    made.record_many(np.asarray(values, dtype=float))
    return made.snapshot()


def data(shape: str) -> np.ndarray:
    random = np.random.default_rng(7)
    match shape:
        case "log-normal":
            return random.lognormal(-6.0, 1.5, 1_000_000)
        case "bimodal":
            fast = random.normal(0.002, 0.0002, 700_000)
            return np.abs(np.concatenate([fast, random.normal(1.5, 0.2, 300_000)]))
        case _:
            return np.full(100_000, 0.125)


@pytest.mark.parametrize("shape", ["log-normal", "bimodal", "constant"])
@pytest.mark.parametrize("scale", [3, 4, 5])
def test_quantiles_are_within_what_the_scale_promises(shape: str, scale: int):
    values = data(shape)
    made = histogram(scale)
    made.record_many(values)
    exact = np.quantile(values, QUANTILES, method="inverted_cdf")
    for q, true in zip(QUANTILES, exact, strict=True):
        assert made.quantile(q) == pytest.approx(true, rel=ERROR[scale]), q
    assert made.count == len(values)
    assert made.sum == pytest.approx(values.sum(), rel=1e-9)
    assert made.mean == pytest.approx(values.mean(), rel=1e-9)
    assert (made.min, made.max) == (values.min(), values.max())


def test_constant_data_is_exact():
    made = recorded([0.1] * 1000)
    assert {made.quantile(q) for q in QUANTILES} == {0.1}
    assert made.mean == pytest.approx(0.1)


@given(
    st.floats(min_value=2.0**-39, max_value=2.0**55, exclude_min=True),
    st.sampled_from([3, 4, 5]),
)
def test_a_value_lies_in_its_bucket_by_exact_integers(value: float, scale: int):
    found = recorded([value], scale)
    numerator, denominator = value.as_integer_ratio()
    power = 1 << scale
    # base^i < value <= base^(i+1), each side to the power 2^scale
    i = found.offset
    left, right = numerator**power, denominator**power
    assert 2 ** max(i, 0) * right < left * 2 ** max(-i, 0)
    assert left * 2 ** max(-i - 1, 0) <= 2 ** max(i + 1, 0) * right


@pytest.mark.parametrize("exponent", [-39, -1, 0, 1, 10, 55])
def test_a_boundary_belongs_to_the_bucket_below(exponent: int):
    edge = math.ldexp(1.0, exponent)
    assert recorded([edge]).offset == exponent * 16 - 1
    assert recorded([math.nextafter(edge, math.inf)]).offset == exponent * 16


def test_merging_is_associative_and_equals_recording_together():
    random = np.random.default_rng(3)
    parts = [random.lognormal(mean, 2.0, 50_000) for mean in (-8, -2, 3)]
    a, b, c = map(recorded, parts)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    whole = recorded(np.concatenate(parts))
    for merged in (left, right, c.merge(a).merge(b)):
        assert merged.offset == whole.offset
        assert merged.bucket_counts == whole.bucket_counts
        assert (merged.count, merged.min, merged.max) == (150_000, whole.min, whole.max)
        assert merged.sum == pytest.approx(whole.sum)


def test_merging_scales_gives_the_coarser_one():
    values = np.random.default_rng(1).lognormal(0, 3, 10_000)
    fine, coarse = recorded(values, 5), recorded(values, 3)
    assert fine.coarsen(3).bucket_counts == coarse.bucket_counts
    both = fine.merge(coarse)
    assert both == coarse.merge(fine)
    assert both.scale == 3
    assert both.bucket_counts == [2 * n for n in coarse.bucket_counts]
    with pytest.raises(Misuse, match="scale 3 cannot become 4"):
        coarse.coarsen(4)


def test_zero_has_its_own_bucket():
    made = recorded([0.0, -0.0, 0.0, 1.0, 2.0])
    assert (made.zero, made.count, made.min) == (3, 5, 0.0)
    assert made.quantile(0.5) == 0.0
    assert made.buckets()[0] == (0.0, 0.0, 3)


def test_odd_values_are_left_out_and_counted():
    made = histogram()
    for value in (1.0, -1.0, math.nan, math.inf, -math.inf, -5e-324):
        made.record(value)
    read = made.snapshot()
    assert (read.count, read.ignored, read.sum, read.max) == (1, 5, 1.0, 1.0)


def test_values_beyond_the_octaves_are_clamped_and_counted():
    read = recorded([5e-324, 1e-13, 1e300, 1.0])
    assert (read.count, read.clamped) == (4, 3)
    assert (read.min, read.max) == (5e-324, 1e300)
    assert read.buckets()[0][0] == pytest.approx(2.0**-40)
    assert read.buckets()[-1][1] == pytest.approx(2.0**56)


def test_nothing_recorded_reads_as_nan():
    made = histogram()
    read = made.snapshot()
    assert (read.count, read.sum, read.buckets()) == (0, 0.0, [])
    for value in (read.mean, read.min, read.max, read.p50, made.quantile(0.9), made.mean, made.max):
        assert math.isnan(value)
    assert "n=0" in repr(made)


def test_buckets_tell_the_same_as_the_counts():
    made = recorded(np.random.default_rng(5).lognormal(0, 1, 1000))
    buckets = made.buckets()
    assert sum(n for _, _, n in buckets) == made.count == 1000
    assert all(lower < upper for lower, upper, _ in buckets)
    assert [b for b in buckets if b[1] < made.min or b[0] > made.max] == []


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(array.array("d", [1.0, 2.0, 4.0]), id="array"),
        pytest.param(np.array([1.0, 2.0, 4.0]), id="numpy"),
        pytest.param(np.array([[1.0], [2.0], [4.0]]), id="two dimensions"),
        pytest.param(np.array([1.0, 9.0, 2.0, 9.0, 4.0, 9.0])[::2], id="strided"),
        pytest.param(memoryview(array.array("d", [1.0, 2.0, 4.0])), id="memoryview"),
    ],
)
def test_record_many_takes_any_buffer_of_doubles(values: object):
    made = histogram()
    made.record_many(values)
    assert (made.count, made.sum, made.min, made.max) == (3, 7.0, 1.0, 4.0)


def test_record_many_of_nothing_records_nothing():
    made = histogram()
    made.record_many(np.empty(0))
    assert made.count == 0


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.0], id="list"),
        pytest.param(np.array([1.0], dtype=np.float32), id="float32"),
        pytest.param(np.array([1]), id="integers"),
        pytest.param(b"12345678", id="bytes"),
        pytest.param(None, id="None"),
        pytest.param(1.0, id="one number"),
    ],
)
def test_record_many_refuses_other_things(values: object):
    made = histogram()
    with pytest.raises(Misuse, match="'h' record_many takes an array of float64") as caught:
        made.record_many(values)
    assert "numpy.asarray" in caught.value.hint
    assert made.count == 0


def test_record_takes_what_is_a_number():
    made = histogram()
    for value in (1, np.float32(2.0), np.float64(3.0), True):
        made.record(value)
    assert (made.count, made.sum) == (4, 7.0)


@pytest.mark.parametrize("value", ["1.0", None, [1.0], 1j])
def test_record_refuses_what_is_none(value: object):
    made = histogram()
    with pytest.raises(Misuse, match="histogram 'h' takes a number, got"):
        made.record(value)
    assert made.count == 0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, "0.5", None])
def test_a_quantile_is_a_share(q: object):
    with pytest.raises(Misuse, match="between 0 and 1"):
        histogram().quantile(q)
    with pytest.raises(Misuse, match="between 0 and 1"):
        recorded([1.0]).quantile(q)


@pytest.mark.parametrize("scale", [2, 6, 0, -1])
def test_scales_that_cannot_be_recorded_are_refused(scale: int):
    with pytest.raises(Misuse, match=f"has scale 3, 4 or 5, got {scale}"):
        histogram(scale)


def test_a_distribution_travels():
    made = recorded([0.0, 1.0, 3.5, 1e300, -1.0])
    back = pickle.loads(pickle.dumps(made))
    assert back == made
    assert back != recorded([0.0])
    empty = recorded([])
    assert pickle.loads(pickle.dumps(empty)) == empty


@pytest.mark.parametrize(
    "fields",
    [
        {"scale": 21},
        {"offset": -(2**31)},
        {"bucket_counts": [2**63, 2**63]},
        {"sum": math.nan},
        {"min": 2.0, "max": 1.0},
        {"min": math.nan},
    ],
)
def test_a_distribution_that_cannot_be_is_refused(fields: dict[str, object]):
    good = {
        "scale": 4,
        "zero": 0,
        "offset": 0,
        "bucket_counts": [1],
        "sum": 1.0,
        "min": 1.0,
        "max": 1.0,
    }
    assert Distribution(**good).count == 1
    with pytest.raises(Misuse, match="Distribution"):
        Distribution(**good | fields)


def test_a_histogram_prints_in_one_line():
    made = Histogram("http_seconds", "", {"route": "/users"})
    made.record_many(np.random.default_rng(2).lognormal(-6, 0.5, 1000))
    text = repr(made)
    assert text.startswith('<Histogram http_seconds{route="/users"} n=1,000 p50=2.')
    assert " ms p99=" in text
    assert "█" in text
    assert "\n" not in text
    assert "p50=" in repr(made.snapshot())
