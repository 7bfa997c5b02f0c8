"""Output files are whole or not there, and a quarantine appears only when it has something."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from penstock.demo.failures import DemoError
from penstock.demo.output import Output, check_writable
from penstock.demo.quarantine import Quarantine


def test_a_finished_block_puts_the_file_in_place(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with Output(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_failed_block_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), Output(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "report.html", "--report")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").touch()
    for path, why in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "report.html", "no such file or directory"),
        (tmp_path / "file" / "report.html", "not a directory"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        with pytest.raises(DemoError) as caught:
            check_writable(path, "--report")
        assert caught.value.what == str(path)
        assert why in caught.value.why
        assert "--report" in caught.value.hint


def test_a_file_that_is_used_is_not_replaced(tmp_path):
    data = tmp_path / "flights.csv"
    data.touch()
    (tmp_path / "link").symlink_to(data)
    for path in (data, tmp_path / "link", tmp_path / "." / "flights.csv"):
        with pytest.raises(DemoError, match="is used already"):
            check_writable(path, "--report", data)


def test_no_bad_line_no_quarantine(tmp_path):
    with Quarantine(tmp_path / "q.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_bad_lines_are_kept_with_number_and_reason(tmp_path):
    path = tmp_path / "q.csv"
    with Quarantine(path) as quarantine:
        quarantine.add(7, "2 fields, not 19", 'a,"b')
        quarantine.add(9, "too long", "x" * 1_000_000)
        assert not path.exists()
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["line", "reason", "text"], ["7", "2 fields, not 19", 'a,"b']]
    assert rows[2][0] == "9"
    assert len(rows[2][2]) == 2000
    assert quarantine.lines == 2


def test_a_failed_run_takes_its_quarantine_along(tmp_path):
    with pytest.raises(RuntimeError), Quarantine(tmp_path / "q.csv") as quarantine:
        quarantine.add(1, "bad", "text")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
