"""Every pair of strategies is canonical, warned of or refused, as the table says."""

from __future__ import annotations

import warnings
from itertools import pairwise, product

import pytest

from penstock import (
    AdaptiveLimit,
    Bulkhead,
    Cache,
    Chaos,
    CircuitBreaker,
    Deadline,
    Fallback,
    Hedge,
    Policy,
    RateLimit,
    Retry,
    Timeout,
)
from penstock.errors import Misuse
from penstock.resilience import RULES, PolicyWarning, Strategy, verdict
from penstock.resilience.order import CANONICAL, check_order

SOME: dict[str, Strategy] = {
    "Fallback": Fallback(value=None),
    "Cache": Cache(1.0),
    "Deadline": Deadline(10.0),
    "AdaptiveLimit": AdaptiveLimit(),
    "Bulkhead": Bulkhead(4),
    "Retry": Retry(),
    "Hedge": Hedge(1.0),
    "RateLimit": RateLimit(4),
    "CircuitBreaker": CircuitBreaker(),
    "Timeout": Timeout(1.0),
    "Chaos": Chaos(error_rate=0.5),
}


def test_there_is_one_of_each():
    assert set(SOME) == set(CANONICAL) == {each.__name__ for each in Strategy.__subclasses__()}


def test_every_pair_against_the_canonical_order_has_a_reason():
    for number, outer in enumerate(CANONICAL):
        for inner in CANONICAL[: number + 1]:
            said, reason = verdict(outer, inner)
            assert reason, f"{outer} outside {inner} is {said}, and nobody says why"
            assert said != "canonical" or outer == inner == "RateLimit"


def test_the_canonical_order_is_canonical():
    for number, outer in enumerate(CANONICAL):
        for inner in CANONICAL[number + 1 :]:
            expected = "refused" if (outer, inner) == ("Retry", "Hedge") else "canonical"
            assert verdict(outer, inner)[0] == expected, (outer, inner)


def test_no_pair_has_two_rules():
    pairs = [pair for rule in RULES for pair in product(rule.outer, rule.inner)]
    assert len(pairs) == len(set(pairs))
    assert all(set(pair) <= set(CANONICAL) for pair in pairs)


@pytest.mark.parametrize(("outer", "inner"), list(product(SOME, SOME)))
def test_a_policy_does_as_the_table_says(outer, inner):
    said, reason = verdict(outer, inner)
    if said == "refused":
        with pytest.raises(Misuse, match="cannot work") as refused:
            check_order("pair", [SOME[outer], SOME[inner]], stacklevel=1)
        assert reason in str(refused.value)
    elif said == "warned":
        with pytest.warns(PolicyWarning) as caught:
            check_order("pair", [SOME[outer], SOME[inner]], stacklevel=1)
        (warning,) = caught
        assert reason in str(warning.message)
    else:
        check_order("pair", [SOME[outer], SOME[inner]], stacklevel=1)


def test_the_warning_points_at_who_made_the_policy():
    with pytest.warns(PolicyWarning) as caught:
        Policy("late", Chaos(error_rate=0.5), Timeout(1.0))
    assert caught[0].filename == __file__


def test_a_refusal_names_the_order_that_works():
    with pytest.raises(Misuse) as refused:
        Policy("wrong", Timeout(1.0), Retry())
    assert "policy 'wrong': Timeout outside Retry" in str(refused.value)
    assert refused.value.hint == "outermost first: Retry > Timeout"


def test_pairs_count_at_any_distance():
    with pytest.raises(Misuse, match="Timeout outside Retry"):
        check_order("far", [SOME["Timeout"], SOME["Chaos"], SOME["Retry"]], stacklevel=1)


def test_two_of_a_kind():
    with pytest.raises(Misuse, match="Retry outside Retry cannot work: one of a kind"):
        Policy("twice", Retry(), Retry())
    check_order("rates", [RateLimit(10), RateLimit(100, per=60.0)], stacklevel=1)


@pytest.mark.parametrize("seconds", [10.0, 11.0])
def test_an_attempt_is_shorter_than_the_call(seconds):
    with pytest.raises(Misuse, match=r"never comes before Deadline\(10\)"):
        Policy("long", Deadline(10.0), Timeout(seconds))


@pytest.mark.parametrize("wrong", [Retry, 5.0, None, "Retry"])
def test_only_strategies(wrong):
    with pytest.raises(Misuse, match="is no strategy"):
        Policy("wrong", wrong)


@pytest.mark.parametrize("name", ["", None, Retry()])
def test_a_name_comes_first(name):
    with pytest.raises(Misuse, match="is no name"):
        Policy(name)


def test_the_standard_policy_is_canonical_and_says_every_setting():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [type(each).__name__ for each in Policy.standard("users").strategies]
    places = [CANONICAL.index(name) for name in names]
    assert all(first < second for first, second in pairwise(places))
    text = Policy.standard("users").describe()
    for setting in ("attempts=3 (default)", "max_delay=5.0", "failure_rate=0.5", "seconds=30.0"):
        assert setting in text
