"""The second half from outside: killed, stopped, with a full disk; the ledger decides."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing, suppress
from pathlib import Path

import pytest

from penstock.demo.data import flights_file
from penstock.demo.memory import descendants

# Each of them runs a whole demo or two.
pytestmark = pytest.mark.timeout(600)

_SAGAS = "SELECT count(*) FROM penstock_saga WHERE state IN ('completed', 'compensated')"


def command(*arguments):
    return [sys.executable, "-m", "penstock", "demo", "--quiet", *map(str, arguments)]


def demo(folder, *arguments):
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, check=False
    )


def assert_refused(done, *words):
    """One line on stderr that names the thing, the cause and the remedy; nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("penstock demo: ")
    assert " hint: " in line
    for word in words:
        assert str(word) in line


@pytest.fixture(scope="session")
def february(tmp_path_factory) -> Path:
    """The month with the most cancelled flights of the packaged year, as a file of its own."""
    path = tmp_path_factory.mktemp("flights") / "february.csv"
    with zipfile.ZipFile(flights_file(None)) as archive:
        text = io.TextIOWrapper(archive.open(archive.namelist()[0]), encoding="utf-8", newline="")
        rows = csv.reader(text)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(next(rows))
            writer.writerows(row for row in rows if row[1] == "2")
    return path


@pytest.fixture
def few(tmp_path, february):
    """Makes a file of the first `days` of February; `change` is given its rows, header first."""

    def make(days, change=lambda rows: rows):
        with february.open(newline="") as file:
            head, *rows = csv.reader(file)
        path = tmp_path / "few.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(change([head, *(r for r in rows if int(r[2]) <= days)]))
        return path

    return make


class Finished:
    """A run that came to its end: its figures, and what its database says of every case."""

    def __init__(self, folder: Path, done: subprocess.CompletedProcess[str]) -> None:
        self.stderr = done.stderr
        self.returncode = done.returncode
        figures = json.loads(done.stdout)
        self.peak_memory = figures["peak_memory"]
        self.figures = figures["rebookings"]
        with closing(sqlite3.connect(folder / "x.db")) as database:
            self.outcomes = database.execute(
                "SELECT case_key, outcome, reason, party, refund FROM rebooking ORDER BY case_key"
            ).fetchall()
            self.seats = database.execute(
                "SELECT flight, held FROM seat_inventory ORDER BY flight"
            ).fetchall()


def finish(folder, *arguments) -> Finished:
    done = demo(folder, "--json", "--database", "x.db", *arguments)
    assert done.returncode == 0, done.stderr
    return Finished(folder, done)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, february) -> tuple[Path, Finished]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, finish(folder, "--data", february)


def test_every_cancelled_flight_is_settled(undisturbed):
    _, run = undisturbed
    figures = run.figures
    assert figures["confirmed"] + figures["refused"] == len(run.outcomes) == 1261
    assert figures["confirmed"] > 0
    assert set(figures["reasons"]) == {"no seat", "refund declined", "gate closed"}
    assert figures["parked"] == figures["taken_over"] == 0
    assert figures["dead"] == figures["redriven"] > 0
    assert figures["check"]["is_balanced"]
    assert not run.stderr


def test_the_service_is_well_with_all_its_parts(undisturbed):
    _, run = undisturbed
    health = run.figures["health"]
    assert health["is_healthy"]
    names = [part["name"] for part in health["parts"]]
    assert names == [
        *("saga store", "relay of rebookings", "consumer of notices", "plans", "loop monitor")
    ]


def test_only_these_files_are_left(undisturbed):
    folder, _ = undisturbed
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["report.html", "x.db", "x.db.refunds.jsonl"]


def test_a_case_is_one_trace_from_the_stream_to_the_consumer(undisturbed):
    _, run = undisturbed
    names = [span["name"] for span in run.figures["slowest"]["spans"]]
    assert names[:4] == ["rebook", "plan", "saga rebook", "reserve"]
    assert names[-1] == "messages notices"
    assert any(name.startswith("publish flight.") for name in names)


@pytest.mark.parametrize("shares", [(0.05,), (0.3,), (0.6,), (0.95,), (0.3, 0.32)], ids=str)
def test_a_killed_run_comes_to_the_same_outcomes(tmp_path, february, undisturbed, shares):
    _, calm = undisturbed
    before = set(descendants(os.getpid()))
    kills = [text for share in shares for text in ("--kill-after", share)]
    run = finish(tmp_path, "--data", february, *kills)
    assert "never" not in run.stderr  # every kill came
    assert run.figures["check"]["is_balanced"]
    assert run.figures["parked"] == 0
    assert run.figures["reasons"] == calm.figures["reasons"]
    assert run.outcomes == calm.outcomes
    assert run.seats == calm.seats
    assert set(descendants(os.getpid())) <= before


def test_a_finished_run_may_be_run_and_killed_again(finished, february, undisturbed):
    _, calm = undisturbed
    run = finish(finished, "--data", february, "--kill-after", "0.5")
    assert run.figures["check"]["is_balanced"]
    assert run.outcomes == calm.outcomes


@pytest.mark.timeout(300)
def test_the_whole_year_through_a_kill_within_its_memory(tmp_path):
    run = finish(tmp_path, "--kill-after", "0.3")
    assert len(run.outcomes) == 8255
    assert run.figures["check"]["is_balanced"]
    assert run.figures["parked"] == 0
    assert run.figures["taken_over"] > 0
    if run.peak_memory is not None:
        assert run.peak_memory < 300_000_000  # of all processes, the supervisor and the desk, too


def test_another_seed_comes_to_other_outcomes(tmp_path, february, undisturbed):
    _, calm = undisturbed
    run = finish(tmp_path, "--data", february, "--seed", "1")
    assert run.figures["check"]["is_balanced"]
    assert run.figures["seed"] == 1
    assert run.outcomes != calm.outcomes


# -- files as people have them -------------------------------------------------------------------


def twice(rows):
    return rows + rows[1:]


def cancelled_alone(rows):
    return [rows[0], *(row for row in rows[1:] if row[3] == "NA")]


def spoilt(rows):
    return [
        rows[0],
        *(
            row[:5] if n % 11 == 3 else ["2013", "13", *row[2:]] if n % 7 == 0 else row
            for n, row in enumerate(rows[1:])
        ),
    ]


@pytest.mark.parametrize("change", [twice, cancelled_alone, spoilt])
def test_a_file_that_is_odd_balances(tmp_path, few, change):
    run = finish(tmp_path, "--data", few(4, change))
    assert run.figures["check"]["is_balanced"]
    assert run.figures["refused"]
    assert bool(run.figures["confirmed"]) == (change is not cancelled_alone)
    assert (tmp_path / "quarantine.csv").exists() == (change is spoilt)


def test_without_cancelled_flights_there_is_no_second_half(tmp_path, few):
    path = few(2, lambda rows: [row for row in rows if row[3] != "NA"])
    done = demo(tmp_path, "--data", path, "--json", "--database", "x.db", "--kill-after", "0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rebookings"] is None
    assert "the kill never came" in done.stderr
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "report.html"}


# -- the check turns red ----------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path, undisturbed) -> Path:
    """A copy of the finished run, to be spoilt."""
    folder, _ = undisturbed
    for path in folder.glob("x.db*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_a_row_that_was_deleted_is_missed(finished, february):
    with closing(sqlite3.connect(finished / "x.db")) as database:
        (case,) = database.execute("SELECT min(case_key) FROM rebooking").fetchone()
        database.execute("DELETE FROM rebooking WHERE case_key = ?", (case,))
        database.commit()
    done = demo(finished, "--data", february, "--database", "x.db")
    assert done.returncode == 1
    assert "does not balance" in done.stderr
    assert case in done.stderr


def test_an_effect_that_was_doubled_is_found(finished, february):
    ledger = finished / "x.db.refunds.jsonl"
    first = json.loads(ledger.read_text().splitlines()[0])
    with ledger.open("a") as file:
        print(json.dumps({**first, "key": f"{first['key']}/again"}), file=file)
    done = demo(finished, "--data", february, "--database", "x.db")
    assert done.returncode == 1
    assert first["case"] in done.stderr


# -- what is in the way -----------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a part of a run; `grow()` makes it large enough."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.getuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", folder],
            check=False,
            capture_output=True,
        ).returncode
    ):
        pytest.skip("only root may mount a tmpfs")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

    yield folder, remount
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, february, small_disk, undisturbed):
    folder, remount = small_disk
    arguments = ("--data", february, "--report", tmp_path / "r.html", "--json")
    arguments += ("--database", folder / "x.db")
    assert_refused(demo(tmp_path, *arguments), folder, "full")
    remount("size=64m")
    done = demo(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    _, calm = undisturbed
    assert Finished(folder, done).outcomes == calm.outcomes


def test_a_disk_that_may_only_be_read_is_told(tmp_path, february, small_disk, undisturbed):
    folder, remount = small_disk
    remount("size=64m")
    source, _ = undisturbed
    for path in source.glob("x.db*"):
        shutil.copy(path, folder)
    before = (folder / "x.db").read_bytes()
    remount("ro")
    done = demo(tmp_path, "--data", february, "--database", folder / "x.db")
    assert_refused(done, folder, "read-only")
    assert (folder / "x.db").read_bytes() == before


def test_a_database_of_a_newer_version_is_told(finished, february):
    with closing(sqlite3.connect(finished / "x.db")) as database:
        database.execute("UPDATE penstock_schema SET version = 99 WHERE room = 'saga'")
        database.commit()
    done = demo(finished, "--data", february, "--database", "x.db")
    assert_refused(done, "x.db", "version 99")


def test_a_file_that_is_no_database_is_told(tmp_path, february):
    path = tmp_path / "x.db"
    path.write_text("this is a letter, and not a short one" * 100)
    before = path.read_bytes()
    assert_refused(demo(tmp_path, "--data", february, "--database", path), "not an SQLite database")
    assert path.read_bytes() == before


def test_a_database_of_another_seed_is_told(finished, february):
    done = demo(finished, "--data", february, "--database", "x.db", "--seed", "7")
    assert_refused(done, "seed 2013")


@pytest.mark.parametrize("name", ["a b#c?d%41'\".db", "-x\n.db"])
def test_any_name_will_do(tmp_path, few, name):
    done = demo(tmp_path, "--data", few(7), f"--database={name}", "--kill-after=0.5", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rebookings"]["confirmed"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"few.csv", "report.html", name, f"{name}.refunds.jsonl"}


def test_a_folder_that_is_not_there_is_told(tmp_path, february):
    done = demo(tmp_path, "--data", february, "--database", tmp_path / "no" / "x.db")
    assert_refused(done, tmp_path / "no")


@pytest.mark.parametrize("share", ["0", "1", "nan", "-0.5"])
def test_a_share_that_is_none_is_told(tmp_path, february, share):
    assert_refused(demo(tmp_path, "--data", february, f"--kill-after={share}"), share)
    assert list(tmp_path.iterdir()) == []


# -- stopped in the middle --------------------------------------------------------------------


def settled(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute(_SAGAS).fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.fixture
def under_way(tmp_path, february):
    """A run with --database x.db that has settled some cases; killed at the end if it still is."""
    process = subprocess.Popen(
        command("--data", february, "--database", "x.db"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while settled(tmp_path / "x.db") < 100:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def test_two_demos_on_one_file_are_told(tmp_path, february, under_way):
    under_way.send_signal(signal.SIGSTOP)  # or it might end before the other one has begun
    done = demo(tmp_path, "--data", february, "--database", "x.db", "--report", "other.html")
    assert_refused(done, "x.db", under_way.pid)
    assert not (tmp_path / "other.html").exists()


def test_a_supervisor_on_the_same_file_is_told(tmp_path, february, under_way):
    under_way.send_signal(signal.SIGSTOP)
    arguments = ("--data", february, "--database", "x.db", "--kill-after", "0.9")
    assert_refused(demo(tmp_path, *arguments), "x.db", under_way.pid)


def children(pid: int, word: str) -> list[int]:
    """What the process has started and has the word in its command line."""
    found = []
    for child in descendants(pid):
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line:
            found.append(child)
    return found


def pidfds(pids) -> list[int]:
    found = []
    for pid in pids:
        with suppress(ProcessLookupError):
            found.append(os.pidfd_open(pid))
    return found


def await_ends(started: list[int]) -> None:
    for fd in started:
        with open(fd, closefd=True):
            assert select.select([fd], [], [], 30)[0], "something that it started is still there"


def test_a_refund_desk_that_is_killed_is_opened_again(tmp_path, under_way, undisturbed):
    desks = set()
    for _ in range(2):
        while not (new := set(children(under_way.pid, "rebooking.desk")) - desks):
            assert under_way.poll() is None, under_way.stderr.read()
            time.sleep(0.02)
        for pid in new:
            os.kill(pid, signal.SIGKILL)
        desks |= new
    _, stderr = under_way.communicate()
    assert (under_way.returncode, stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        rows = database.execute(
            "SELECT case_key, outcome, reason, party, refund FROM rebooking ORDER BY case_key"
        ).fetchall()
    _, calm = undisturbed
    assert rows == calm.outcomes


def test_workers_that_are_killed_are_replaced(under_way):
    workers = children(under_way.pid, "sys.path[:]")
    assert len(workers) >= 2  # the zygote that they come from among them
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    _, stderr = under_way.communicate()
    assert (under_way.returncode, stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("moment", "supervised"),
    [
        ("the file is read", ()),
        ("the file is read", ("--kill-after", 0.9)),
        ("the ledger is checked", ()),
    ],
    ids=str,
)
def test_stopped_at_other_moments_it_takes_everything_along(
    tmp_path, february, moment, supervised, number
):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    word = "demo.check" if moment == "the ledger is checked" else "sys.path[:]"  # a worker
    process = subprocess.Popen(
        command("--data", february, *supervised),
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        while not (there := children(process.pid, word)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        stop = word == "demo.check"  # or it might be through before the signal
        if stop:
            os.kill(there[0], signal.SIGSTOP)
        started = pidfds(descendants(process.pid))
        process.send_signal(number)
        if stop:
            os.kill(there[0], signal.SIGCONT)
        _, stderr = process.communicate()
    assert process.returncode == 128 + number, stderr
    [line] = stderr.splitlines()
    assert line.endswith(" hint: run it again, it starts afresh; --database keeps what is done")
    await_ends(started)
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_goes_on_later(tmp_path, february, under_way, undisturbed, number, code):
    started = pidfds(descendants(under_way.pid))
    assert started
    under_way.send_signal(number)
    _, stderr = under_way.communicate()
    assert under_way.returncode == code, stderr
    [line] = stderr.splitlines()
    assert " hint: " in line
    await_ends(started)
    assert not (tmp_path / "report.html").exists()
    run = finish(tmp_path, "--data", february)
    _, calm = undisturbed
    assert run.outcomes == calm.outcomes


def processes_with(temporary: Path) -> list[str]:
    """Command lines of all processes, whoever started them, that have this temporary folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if f"TMPDIR={temporary}\0".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_nothing_is_left_behind(tmp_path, february):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    segments = set(os.listdir("/dev/shm"))
    done = subprocess.run(
        command("--data", february, "--kill-after", "0.5"),
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "tmp"]
    assert list(temporary.iterdir()) == []
    end = time.monotonic() + 30
    while left := processes_with(temporary):  # killed with its parent, and not dead yet
        assert time.monotonic() < end, left
    new = set(os.listdir("/dev/shm")) - segments
    assert not {name for name in new if "penstock" in name}
