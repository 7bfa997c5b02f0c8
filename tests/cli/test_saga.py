"""`penstock saga`: sagas and what they did, resumed; one line and code 2 for what cannot be."""

from __future__ import annotations

import getpass
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from penstock import Saga, SagaStore


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", "saga", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture
def url(tmp_path: Path, trips: Path) -> str:
    shutil.copy(trips, tmp_path)
    return f"sqlite:///{tmp_path}/{trips.name}"


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sagas of one name, two of them parked, and one of another."""
    path = tmp_path_factory.mktemp("made") / "trips.db"
    url = f"sqlite:///{path}"
    booking, refund = Saga("book-trip"), Saga("refund")

    @booking.step()
    async def reserve(number: int) -> str:
        return f"seat {number}"

    @booking.step(pivot=True)
    async def pay(number: int) -> None:
        pass

    @booking.step()
    async def confirm(number: int) -> None:
        if number >= 3:
            raise OSError(f"the desk {'is closed ' * 20}for {number}")

    @refund.step()
    async def fails(number: int) -> None:
        if number == 7:
            raise ValueError("no account")

    async def main() -> None:
        async with SagaStore.open(url, sagas=[booking, refund]) as store:
            for number in range(5):
                handle = await store.start(booking, number, key=f"trip-{number}")
                await handle.outcome()
            await (await store.start(refund, 7, key="r")).outcome()
            await (await store.start(refund, 8, key="s")).outcome()

    anyio.run(main)
    return path


def test_list(url):
    done = command("list", url)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[1:4] for line in lines] == [
        ["completed", "book-trip", "trip-0"],
        ["completed", "book-trip", "trip-1"],
        ["completed", "book-trip", "trip-2"],
        ["parked", "book-trip", "trip-3"],
        ["parked", "book-trip", "trip-4"],
        ["compensated", "refund", "r"],
        ["completed", "refund", "s"],
    ]
    assert lines[3].endswith("…")
    assert lines[5].endswith("ValueError: no account")
    assert done.stderr == "in all: 4 completed, 2 parked, 1 compensated\n"


def test_list_of_some(url):
    done = command("list", url, "--saga", "book-trip", "--state", "parked")
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["trip-3", "trip-4"]
    assert done.stderr == "in all: 3 completed, 2 parked\n"
    none = command("list", url, "--saga", "nothing")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "in all: none\n")


def test_list_by_pages(url):
    keys, after = [], []
    while True:
        done = command("list", url, "--limit", "2", *after)
        assert done.returncode == 0
        keys += [line.split()[3] for line in done.stdout.splitlines()]
        if "more: " not in done.stderr:
            break
        after = done.stderr.splitlines()[-1].removeprefix("more: ").split()
    assert keys == [*(f"trip-{number}" for number in range(5)), "r", "s"]


def test_list_as_json(url):
    found = json.loads(command("list", url, "--json", "--limit", "4").stdout)
    assert [each["key"] for each in found["items"]] == [f"trip-{number}" for number in range(4)]
    assert found["next"] == "4"
    assert {"saga": "book-trip", "state": "parked", "count": 2} in found["counts"]
    parked = found["items"][3]
    assert (parked["saga"], parked["state"], parked["step"]) == ("book-trip", "parked", "confirm")
    assert parked["error"].startswith("step 'confirm' failed behind the pivot: OSError: the desk")
    assert (parked["context"], parked["is_owned"], parked["crashes"]) == ("3", False, 0)
    rest = json.loads(command("list", url, "--json", "--after", "4").stdout)
    assert [each["key"] for each in rest["items"]] == ["trip-4", "r", "s"]
    assert rest["next"] is None


def test_show(url):
    done = command("show", url, "book-trip", "trip-3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "saga book-trip  key trip-3  parked\n" in done.stdout
    assert "context 3\n" in done.stdout
    assert "error   confirm: step 'confirm' failed behind the pivot" in done.stdout
    history = [line.split() for line in done.stdout.splitlines() if "fence" in line]
    assert [(line[1], line[6]) for line in history] == [
        ("reserve", "done"), ("pay", "done"), ("confirm", "failed"),
    ]  # fmt: skip
    assert '"seat 3"' in done.stdout
    assert "Traceback" not in done.stdout
    traced = command("show", url, "book-trip", "trip-3", "--traceback").stdout
    assert "Traceback (most recent call last):" in traced
    assert "in confirm" in traced


def test_show_as_json(url):
    found = json.loads(command("show", url, "refund", "r", "--json").stdout)
    assert (found["state"], found["step"], found["error"]) == (
        "compensated", "fails", "ValueError: no account",
    )  # fmt: skip
    (step,) = found["history"]
    assert (step["step"], step["phase"], step["state"]) == ("fails", "do", "failed")
    assert step["attempt"] == 1
    assert "in fails" in step["traceback"]


def test_resume(url):
    done = command("resume", url, "book-trip", "trip-3", "--by", "Ada")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 of 1 resumed; a process that runs this saga goes on")
    shown = command("show", url, "book-trip", "trip-3").stdout
    assert "running, at step 3, attempt 1" in shown
    assert "resumed by Ada" in shown
    again = command("resume", url, "book-trip", "trip-3", "trip-4")
    assert (again.returncode, again.stdout.split(";")[0]) == (1, "1 of 2 resumed")
    assert f"resumed by {getpass.getuser()}" in command("show", url, "book-trip", "trip-4").stdout
    none = command("resume", url, "book-trip", "--all")
    assert (none.returncode, none.stdout.split(";")[0]) == (0, "0 of 0 resumed")


def test_resume_all(url):
    done = command("resume", url, "book-trip", "--all")
    assert (done.returncode, done.stdout.split(";")[0]) == (0, "2 of 2 resumed")
    found = json.loads(command("list", url, "--json").stdout)
    assert {"saga": "book-trip", "state": "running", "count": 2} in found["counts"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "ACTION"),
        (("lst", "URL"), "lst"),
        (("list",), "URL"),
        (("list", "trips.db"), "no engine for 'trips.db'"),
        (("list", "memory://x"), "its own process"),
        (("list", "sqlite:///nowhere.db"), "there is no"),
        (("list", "URL", "--state", "asleep"), "asleep"),
        (("list", "URL", "--limit", "0"), "--limit"),
        (("list", "URL", "--after", "x"), "--after x is not where a page ended"),
        (("show", "URL", "book-trip"), "KEY"),
        (("show", "URL", "book-trip", "trip-9"), "no saga 'book-trip' with key 'trip-9'"),
        (("show", "URL", "trips", "trip-1"), "sagas named book-trip, refund"),
        (("resume", "URL", "book-trip"), "--all"),
        (("resume", "URL", "book-trip", "trip-3", "--all"), "--all"),
        (("resume", "URL", "book-trip", "trip-3", "trip-9"), "with key 'trip-9'"),
    ],
)
def test_what_cannot_be_is_a_line_with_a_hint(url, tmp_path, arguments, named):
    given = [url if each == "URL" and len(arguments) > 2 else each for each in arguments]
    done = command(*given, cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["trips.db"]
    connection = sqlite3.connect(tmp_path / "trips.db")
    (parked,) = connection.execute(
        "SELECT count(*) FROM penstock_saga WHERE state = 'parked'"
    ).fetchone()
    connection.close()
    assert parked == 2, "nothing was resumed"
