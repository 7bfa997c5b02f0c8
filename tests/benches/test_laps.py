from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from benches.case import Case, Contender, Lap, Work, cost, percentile, rate
from benches.laps import race
from benches.refusal import WrongAnswer
from benches.units import ITEMS

MILLISECOND = 1_000_000


class Track:
    """Contenders that need a stated time for an operation, and a log of who did what."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.opened: set[str] = set()
        self.figured = 0

    def contender(
        self, name: str, ns: int = 1000, answer: Callable[[int], object] = lambda n: n
    ) -> Contender:
        @contextmanager
        def opened() -> Iterator[Work]:
            self.opened.add(name)

            def work(n: int) -> Lap:
                self.log.append((name, n))
                return Lap(answer(n), n * ns)

            try:
                yield work
            finally:
                self.opened.discard(name)

        return Contender(name, "", opened)

    def case(self, *contenders: Contender, least: int = 1000) -> Case:
        figure = cost()

        def counted(lap: Lap, n: int) -> float:
            self.figured += 1
            return figure.of(lap, n)

        return Case(
            room="queues",
            name="fake",
            question="?",
            contenders=contenders,
            is_right=lambda n, answer: answer == n,
            figures=[type(figure)(figure.name, figure.unit, counted)],
            least=least,
        )


def test_a_wrong_answer_is_never_timed() -> None:
    track = Track()
    case = track.case(track.contender("right"), track.contender("wrong", answer=lambda n: n - 1))
    with pytest.raises(WrongAnswer, match="wrong gave a wrong answer in queues/fake for 1000"):
        race(case, rounds=5, lap=0.01)
    assert track.figured == 0
    # Each was asked once, for the proof: not even the right one went on to a longer lap.
    assert track.log == [("right", 1000), ("wrong", 1000)]


def test_an_answer_that_turns_wrong_later_leaves_no_figures() -> None:
    track = Track()
    answers = iter([True] * 4)

    def answer(n: int) -> int:
        return n if next(answers, False) else 0

    case = track.case(track.contender("right"), track.contender("fades", answer=answer))
    with pytest.raises(WrongAnswer, match="fades"):
        race(case, rounds=9, lap=0.002)


def test_contenders_alternate_and_are_compared_per_operation() -> None:
    track = Track()
    case = track.case(track.contender("a", ns=1000), track.contender("b", ns=4000))
    a, b = race(case, rounds=5, lap=0.008)
    assert (a.operations, b.operations) == (8000, 2000)
    assert track.log[-10:] == [("a", 8000), ("b", 2000)] * 5
    assert a.values == {"cost": [pytest.approx(1e-6)] * 5}
    assert b.values == {"cost": [pytest.approx(4e-6)] * 5}


def test_a_lap_is_a_multiple_of_the_least_one_even_where_that_is_long() -> None:
    track = Track()
    case = track.case(track.contender("slow", ns=MILLISECOND), least=7)
    (slow,) = race(case, rounds=1, lap=0.001)
    assert slow.operations == 7
    (slow,) = race(case, rounds=1, lap=0.05)
    assert slow.operations == 56


def test_all_contenders_are_closed_whatever_happens() -> None:
    track = Track()

    @contextmanager
    def breaking() -> Iterator[Work]:
        yield partial(divmod, 1)

    broken = Contender("broken", "", breaking)
    with pytest.raises(AttributeError):
        race(track.case(track.contender("fine"), broken), rounds=1)
    assert track.log == [("fine", 1000)]
    assert track.opened == set()


def test_figures_are_what_their_names_say() -> None:
    lap = Lap(None, 2_000_000_000, samples=[*range(1, 101)])
    assert rate(ITEMS).of(lap, 10) == 5
    assert cost().of(lap, 10) == 0.2
    assert percentile(50).of(lap, 10) == pytest.approx(51e-9)
    assert percentile(99).of(lap, 10) == pytest.approx(100e-9)
