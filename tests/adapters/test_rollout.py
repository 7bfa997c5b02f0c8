"""A share that grows while the new one is healthy, and falls to nothing when it is not."""

from __future__ import annotations

import contextlib

import pytest

from penstock import Strangler
from penstock.adapters import Rollout, forced
from penstock.errors import Misuse
from penstock.testing import FakeClock


class Sides:
    """Two implementations that fail as often as the test says: of every ten calls so many."""

    def __init__(self):
        self.failing = {"old": 0, "new": 0}
        self.calls = {"old": 0, "new": 0}

    def side(self, name):
        def call(_key):
            self.calls[name] += 1
            if self.calls[name] % 10 < self.failing[name]:
                raise ConnectionError(name)
            return name

        return call


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


def made(sides, **options):
    settings = {"steps": (0.25, 0.5, 1.0), "hold": 60.0, "min_calls": 50, "max_error_rate": 0.05}
    return Strangler(
        "s",
        sides.side("old"),
        sides.side("new"),
        key=lambda key: key,
        rollout=Rollout(**{**settings, **options}),
    )


def load(strangler, calls=1000):
    for n in range(calls):
        with contextlib.suppress(ConnectionError):
            strangler(n)


def test_it_grows_step_by_step_while_all_is_well(clock):
    changes = []
    sides = Sides()
    strangler = made(sides, on_change=lambda state: changes.append((state.status, state.share)))
    assert strangler.share == 0.25
    load(strangler)
    assert strangler.share == 0.25  # enough calls, not enough time
    clock.advance(60.0)
    load(strangler, 10)
    assert strangler.share == 0.5
    clock.advance(60.0)
    load(strangler, 10)
    assert strangler.share == 0.5  # enough time, not enough calls
    load(strangler)
    assert strangler.share == 1.0
    assert strangler.rollout.status == "complete"
    assert changes == [("rolling out", 0.5), ("complete", 1.0)]


def test_it_falls_back_when_the_new_one_fails_more_often(clock, caplog):
    sides = Sides()
    strangler = made(sides)
    sides.failing["new"] = 2
    load(strangler)
    assert strangler.rollout.status == "fallen back"
    assert strangler.share == 0.0
    assert "of the new one failed (2" in strangler.rollout.reason
    assert sides.calls["new"] == 50  # no more than it takes to see it
    assert "falls back" in caplog.text
    clock.advance(1e6)
    load(strangler)
    assert sides.calls["new"] == 50
    strangler.rollout.resume()
    sides.failing["new"] = 0
    load(strangler)
    assert (strangler.share, strangler.rollout.reason) == (0.25, "")
    assert sides.calls["new"] > 50


def test_errors_that_both_have_do_not_matter(clock):
    sides = Sides()
    sides.failing = {"old": 3, "new": 3}
    strangler = made(sides)
    load(strangler)
    clock.advance(60.0)
    load(strangler)
    assert strangler.share == 0.5


def test_at_the_last_step_the_watch_goes_on_with_what_the_old_one_had(clock):
    sides = Sides()
    sides.failing = {"old": 2, "new": 2}
    strangler = made(sides)
    for _ in range(2):
        load(strangler)
        clock.advance(60.0)
        load(strangler, 20)
    assert strangler.rollout.status == "complete"
    for _ in range(3):  # windows of its own: what was well long ago does not count
        load(strangler)
        clock.advance(60.0)
    assert strangler.rollout.status == "complete"
    sides.failing["new"] = 9
    load(strangler)
    assert strangler.rollout.status == "fallen back"


def test_a_few_failures_of_the_old_one_excuse_nothing(clock):
    sides = Sides()
    strangler = made(sides, steps=(0.9, 1.0))
    sides.failing["old"] = 10
    with forced("old"):
        load(strangler, 49)
    with forced("new"):
        load(strangler, 50)
        clock.advance(60.0)
        load(strangler, 1)
    assert strangler.rollout.status == "complete"
    sides.failing["new"] = 10
    load(strangler)
    assert strangler.rollout.status == "fallen back"
    assert "50 of 50 calls of the new one failed" in strangler.rollout.reason


def test_what_is_known_of_the_old_one_stands_until_enough_calls_say_otherwise(clock):
    sides = Sides()
    sides.failing = {"old": 3, "new": 3}
    strangler = made(sides, steps=(0.5, 0.9, 1.0))

    def window(olds):
        with forced("old"):
            load(strangler, olds)
        with forced("new"):
            load(strangler, 50)
            clock.advance(60.0)
            load(strangler, 10)

    window(50)
    sides.failing["old"] = 0
    window(40)  # too few to see that it got better
    assert strangler.rollout.status == "complete"
    window(40)
    assert strangler.rollout.status == "complete"
    window(50)
    assert strangler.rollout.status == "fallen back"
    assert "0.00% of the old one's" in strangler.rollout.reason


def test_a_fall_back_closes_keys_but_not_forced(clock):
    sides = Sides()
    strangler = Strangler(
        "s",
        sides.side("old"),
        sides.side("new"),
        key=lambda key: key,
        keys={"ada"},
        rollout=Rollout(steps=(0.01, 1.0)),
    )
    assert strangler("ada") == "new"
    strangler.rollout.fall_back("an incident")
    assert strangler("ada") == "old"
    assert strangler.rollout.reason == "an incident"
    with forced("new"):
        assert strangler("ada") == "new"


def test_a_listener_that_fails_is_logged(clock, caplog):
    def broken(_state):
        raise RuntimeError("mine")

    strangler = made(Sides(), on_change=broken)
    strangler.rollout.fall_back("x")
    assert strangler.share == 0.0
    assert "on_change" in caplog.text


def test_the_share_is_the_roll_outs(clock):
    strangler = made(Sides())
    with pytest.raises(Misuse, match="its roll-out sets the share"):
        strangler.share = 0.5
    with pytest.raises(Misuse, match="step=7"):
        strangler.rollout.resume(7)
    strangler.rollout.resume(2)
    assert (strangler.share, strangler.rollout.status) == (1.0, "complete")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": ()}, "steps"),
        ({"steps": 0.5}, "steps"),
        ({"steps": (0.5, 0.1)}, "do not grow"),
        ({"steps": (0.0, 1.0)}, "steps"),
        ({"steps": (0.5, 2.0)}, "steps"),
        ({"hold": -1}, "hold"),
        ({"hold": float("inf")}, "hold"),
        ({"max_error_rate": 1.0}, "max_error_rate"),
        ({"min_calls": 0}, "min_calls"),
        ({"min_calls": 1.5}, "min_calls"),
        ({"on_change": 7}, "on_change"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(options, said):
    with pytest.raises(Misuse, match=said):
        Rollout(**options)
