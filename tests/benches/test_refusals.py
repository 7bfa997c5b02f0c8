"""What the command line refuses, before it has timed or stored anything."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock
from benches import __main__ as command
from benches import environment, row, runs
from benches.refusal import Refusal
from penstock import _native


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "STORED", tmp_path)
    monkeypatch.setattr(runs, "LOCAL", tmp_path / "local")
    return tmp_path


def test_a_debug_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folders: Path
) -> None:
    environment.require_release_build()
    monkeypatch.setattr(_native, "build_profile", "debug")
    monkeypatch.setattr(command, "_measured_apart", pytest.fail)
    assert command.main(["run", "--local", "--rounds=1"]) == 2
    said = capsys.readouterr().err
    assert "build_profile is 'debug'" in said
    assert "hint: `make bench`" in said
    assert list(folders.iterdir()) == []


def test_a_row_of_its_own_refuses_a_debug_build_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_native, "build_profile", "debug")
    monkeypatch.setattr(row, "race", pytest.fail)
    assert row.main(["queues/put-get"]) == 2
    assert "build_profile is 'debug'" in capsys.readouterr().err


def test_the_source_tree_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = environment.ROOT / "python" / "penstock" / "__init__.py"
    monkeypatch.setattr(penstock, "__file__", str(inside))
    with pytest.raises(Refusal, match="refusing to time the source tree"):
        environment.require_release_build()


def test_missing_peers_are_named_together() -> None:
    with pytest.raises(Refusal, match="not installed: no-such-peer, nor-this-one"):
        environment.require_packages(["nor-this-one", "pytest", "no-such-peer"])
    assert set(environment.require_packages(["pytest"])) == {"pytest"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["queues/no-such-row"], "no row or room 'queues/no-such-row'"),
        (["--rounds=4"], "too little to store"),
        (["--lap=0.01"], "too little to store"),
        (["--rounds=0", "--local"], "measures nothing"),
    ],
)
def test_what_cannot_be_measured_well_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], folders: Path
) -> None:
    assert command.main(["run", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(folders.iterdir()) == []
