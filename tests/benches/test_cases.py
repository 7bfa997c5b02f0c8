"""The rows themselves: named apart, promising only what they measure, right about the answer."""

from __future__ import annotations

from collections import Counter
from functools import partial
from importlib.util import find_spec

import pytest

from benches.case import Case, Contender
from benches.refusal import Refusal
from benches.registry import ROOMS, ROOMS_WITHOUT_GIL, all_cases, chosen

CASES = all_cases()
ROWS = [case.row for case in CASES]

# The peers prove their answers whenever they are measured; here stands what our own changes can
# break, in the rooms that there are, and of the standard library what takes no time.
HERE = [
    pytest.param(case, contender, id=f"{case.row}-{contender.name}")
    for case in CASES
    for contender in case.contenders
    if (contender.package == "penstock" and find_spec(f"penstock.{case.room}"))
    or (contender.package is None and case.room in {"queues", "metrics"})
]


def test_rows_are_named_apart() -> None:
    assert [row for row, count in Counter(ROWS).items() if count > 1] == []
    assert {case.room for case in CASES} == set(ROOMS)


@pytest.mark.parametrize("case", CASES, ids=ROWS)
def test_penstock_comes_first_and_everybody_says_how_it_is_used(case: Case) -> None:
    assert case.contenders[0].package == "penstock"
    assert len(case.contenders) > 1
    assert all(contender.settings for contender in case.contenders)
    names = [contender.name for contender in case.contenders]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=ROWS)
def test_targets_speak_of_peers_and_figures_that_exist(case: Case) -> None:
    peers = {None, *(contender.name for contender in case.contenders[1:])}
    figures = {None, *(figure.name for figure in case.figures)}
    assert case.targets
    assert {target.peer for target in case.targets} <= peers
    assert {target.figure for target in case.targets} <= figures


def test_names_choose_rows_and_rooms() -> None:
    here = partial(chosen, cases=CASES, without_gil=False)
    assert here([]) == [case for case in CASES if not case.without_gil]
    assert {case.room for case in here(["metrics", "queues"])} == {"metrics", "queues"}
    assert [case.row for case in here(["queues/put-get"])] == ["queues/put-get"]
    assert [case.row for case in here(["put-get"])] == ["queues/put-get"]


def test_rows_for_a_python_without_a_global_lock_are_measured_by_such_a_one_only() -> None:
    apart = [case for case in CASES if case.without_gil]
    assert apart
    assert chosen([], CASES, without_gil=True) == apart
    assert chosen(["queues"], CASES, without_gil=True) == apart
    assert not {case.row for case in apart} & {
        case.row for case in chosen(["queues"], CASES, without_gil=False)
    }
    with pytest.raises(Refusal, match="without a global lock, which this one is not") as refused:
        chosen([apart[0].row], CASES, without_gil=False)
    assert refused.value.hint == "`make bench-free-threaded` has one"
    with pytest.raises(Refusal, match="by a Python with a global lock"):
        chosen(["queues/put-get"], CASES, without_gil=True)
    # That interpreter has few packages, so it looks into no other room.
    assert {case.room for case in apart} <= set(ROOMS_WITHOUT_GIL)
    assert {case.room for case in all_cases(without_gil=True)} == set(ROOMS_WITHOUT_GIL)


@pytest.mark.parametrize(("case", "contender"), HERE)
def test_the_answer_is_right_and_a_wrong_one_is_noticed(case: Case, contender: Contender) -> None:
    with contender.open() as work:
        answer = work(case.least).answer
        assert case.is_right(case.least, answer)
        # An answer for another number of operations is a wrong one.
        assert not case.is_right(case.least * 2, answer)
        # What the first lap left behind must not show in the second.
        assert case.is_right(case.least, work(case.least).answer)
