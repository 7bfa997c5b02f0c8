"""The runner of chaos: it resumes, adds up, and cannot walk past a violation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import counting
from tests.chaos.counting import Counts, Done, Violation, go_on

ROOT = Path(__file__).parents[2]


class Clock:
    """Time moves only when a slice runs."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Room:
    """Records the slices it is asked for; `bad` is the seed at which it finds a violation."""

    def __init__(self, clock: Clock, bad: int | None = None) -> None:
        self.clock = clock
        self.bad = bad
        self.slices: list[tuple[int, float]] = []

    def run(self, seed: int, seconds: float) -> int:
        self.slices.append((seed, seconds))
        self.clock.now += seconds
        assert seed != self.bad, "an item was lost"
        return 100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(counting, "time", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counts.json"


def test_it_runs_slices_and_resumes_from_the_next_seed(clock: Clock, path: Path):
    room, said = Room(clock), []
    assert go_on("ring", room.run, Counts(path), seconds=25.0, say=said.append) == 300
    assert room.slices == [(1, 10.0), (2, 10.0), (3, 5.0)]
    assert said[-1] == "ring: seed 3, 100 operations; 300 in all"

    assert go_on("ring", room.run, Counts(path), seconds=10.0, say=said.append) == 100
    assert room.slices[-1] == (4, 10.0)
    stored = json.loads(path.read_text())
    assert stored == {"ring": {"operations": 400, "seconds": 35.0, "next_seed": 5}}


def test_rounds_are_counted_and_told_where_a_room_has_them(clock: Clock, path: Path):
    room, said = Room(clock), []

    def run(seed: int, seconds: float) -> Done:
        return Done(room.run(seed, seconds), rounds=20)

    go_on("lane", run, Counts(path), seconds=20.0, say=said.append)
    go_on("lane", run, Counts(path), seconds=10.0, say=said.append)
    assert said[-1] == "lane: seed 3, 100 operations; 300 in all, in 60 rounds"
    assert json.loads(path.read_text())["lane"]["rounds"] == 60


def test_rooms_are_counted_apart(clock: Clock, path: Path):
    counts = Counts(path)
    go_on("ring", Room(clock).run, counts, seconds=10.0, say=str)
    go_on("lane", Room(clock).run, counts, seconds=20.0, say=str)
    again = Counts(path)
    assert (again["ring"].operations, again["lane"].operations) == (100, 200)


def test_a_violation_is_named_and_met_again(clock: Clock, path: Path):
    room = Room(clock, bad=2)
    with pytest.raises(Violation, match="ring: seed 2 broke a guarantee") as caught:
        go_on("ring", room.run, Counts(path), seconds=60.0, say=str)
    assert "an item was lost" in str(caught.value.__cause__)
    assert Counts(path)["ring"].operations == 100, "the slice that failed is not counted"
    with pytest.raises(Violation, match="seed 2"):
        go_on("ring", room.run, Counts(path), seconds=60.0, say=str)


def test_a_seed_that_is_asked_for_is_replayed_and_does_not_set_the_room_back(
    clock: Clock, path: Path
):
    room = Room(clock)
    go_on("ring", room.run, Counts(path), seconds=50.0, say=str)
    go_on("ring", room.run, Counts(path), seconds=10.0, seed=2, say=str)
    assert room.slices[-1] == (2, 10.0)
    assert Counts(path)["ring"].next_seed == 6


@pytest.mark.parametrize("arguments", [["--room", "cellar"], ["--minutes", "0"], ["--seed", "x"]])
def test_bad_usage(arguments: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr
