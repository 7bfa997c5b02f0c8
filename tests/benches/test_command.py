"""A run from the command line: what is stored, row by row, and what a failing row does to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benches import __main__ as command
from benches import environment, row, runs
from benches.case import Case
from benches.laps import Series

FAILING = "queues/round-trip"


def measured(case: Case, rounds: int, _lap: float) -> dict[str, object] | None:
    """A row as its process would print it, without the work."""
    if case.row == FAILING:
        return None
    values = {figure.name: [1.0] * rounds for figure in case.figures}
    series = [Series(contender, 1000, values) for contender in case.contenders]
    versions = dict.fromkeys(row.packages(case), "2.0")
    text = json.dumps(row.as_row(case, series, versions))
    loaded: dict[str, object] = json.loads(text)
    return loaded


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "STORED", tmp_path)
    monkeypatch.setattr(runs, "LOCAL", tmp_path / "local")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(command, "_measured_apart", measured)
    monkeypatch.setattr(environment, "require_packages", lambda _names: {})
    return tmp_path


def test_a_run_is_stored_with_date_commit_versions_and_machine(folders: Path) -> None:
    assert command.main(["run", "queues/thread-to-asyncio"]) == 0
    (run,) = runs.load(folders)
    assert run.date.endswith("+00:00")
    assert (run.commit, run.changed) == environment.commit()
    assert run.environment["build_profile"] == "release"
    assert {"cpu", "cores", "kernel", "python", "penstock"} <= set(run.environment)
    (stored,) = run.rows
    versions = {c["name"]: c["version"] for c in stored["contenders"]}
    assert versions["janus.Queue"] == "2.0"
    assert versions["asyncio.Queue"] is None
    assert all(len(c["values"]["rate"]) == 9 for c in stored["contenders"])


def test_a_failing_row_costs_no_other_row(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["run", "queues"]) == 1
    (run,) = runs.load(folders)
    names = [stored["row"] for stored in run.rows]
    assert FAILING not in names
    assert {"queues/put-get", "queues/threads-4-to-4"} <= set(names)
    assert f"no figures for {FAILING}" in capsys.readouterr().err


def test_scratch_runs_stay_apart(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["run", "queues/put-get", "--local", "--rounds=1"]) == 0
    assert runs.load(folders) == []
    assert len(runs.load(folders / "local")) == 1
    assert command.main(["render"]) == 0
    assert "No run is stored yet." in (folders / "RESULTS.md").read_text()
    capsys.readouterr()
    assert command.main(["render", "--local"]) == 0
    assert "### queues/put-get" in capsys.readouterr().out


def test_every_row_can_be_stored_and_rendered(folders: Path) -> None:
    assert command.main(["run"]) == 1
    assert command.main(["render"]) == 0
    text = (folders / "RESULTS.md").read_text()
    rows = [case.row for case in command.all_cases() if not case.without_gil]
    assert [name for name in rows if f"### {name}\n" not in text] == [FAILING]


def test_list_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {case.row}\n" in shown for case in command.all_cases())
