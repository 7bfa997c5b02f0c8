"""The doctor: every finding has a value and, unless all is well, a remedy."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
from importlib import metadata

import pytest

from penstock.cli import main
from penstock.cli.doctor import build, kernel, packages, room
from penstock.cli.doctor.check import Check, Verdict, look, size
from penstock.cli.doctor.command import _GROUPS, examine
from penstock.cli.doctor.render import as_json, as_text, wants_colour, worst

OK = Check("clock", Verdict.OK, "tsc")
ABSENT = Check("trio", Verdict.ABSENT, "not installed", "pip install trio")
WARN = Check("open files", Verdict.WARN, "256", "ulimit -n 4096")
FAIL = Check("temp folder", Verdict.FAIL, "cannot be written", "export TMPDIR=/x")


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_check_has_a_value_and_every_fault_a_remedy():
    findings = examine()
    assert list(findings) == list(_GROUPS)
    names = [check.name for checks in findings.values() for check in checks]
    assert len(names) == len(set(names)) >= 18
    for checks in findings.values():
        for check in checks:
            assert check.seen
            assert (check.remedy is None) == (check.verdict is Verdict.OK)
            assert "could not look" not in check.seen


def test_as_json_on_standard_output():
    done = doctor("--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["verdict"] in {"ok", "warn"}
    by_name = {check["name"]: check for check in report["checks"]}
    assert by_name["extension"]["seen"].startswith("release build, ")
    assert by_name["anyio"] == {
        "group": "packages",
        "name": "anyio",
        "verdict": "ok",
        "seen": metadata.version("anyio"),
        "remedy": None,
    }


def test_without_a_terminal_there_is_no_colour():
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())


def test_text_says_the_same_without_colour():
    text = as_text({"all": [OK, ABSENT, WARN, FAIL]}, colour=False)
    assert "  ok      clock        tsc\n" in text
    assert "  absent  trio         not installed\n" in text
    assert "→ ulimit -n 4096\n" in text
    assert text.endswith("1 fault and 1 warning; the arrows say what helps.")
    coloured = as_text({"all": [OK, ABSENT, WARN, FAIL]}, colour=True)
    assert "\x1b[2mabsent\x1b[0m" in coloured.replace("absent ", "absent"), "dim, not red"
    assert coloured.count("\x1b[31;1m") == 1


@pytest.mark.parametrize(
    ("checks", "grave", "summary"),
    [
        ([OK], Verdict.OK, "ok"),
        ([OK, ABSENT], Verdict.ABSENT, "ok"),
        ([WARN, ABSENT], Verdict.WARN, "warn"),
        ([FAIL, WARN, OK], Verdict.FAIL, "fail"),
    ],
)
def test_the_gravest_finding_decides(checks: list[Check], grave: Verdict, summary: str):
    assert worst({"all": checks}) is grave
    assert json.loads(as_json({"all": checks}))["verdict"] == summary


def test_a_fault_makes_the_exit_code_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(room.tempfile, "gettempdir", lambda: str(tmp_path / "gone"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "fail    temp folder" in out
    assert "export TMPDIR=" in out


def test_a_probe_that_stumbles_is_a_finding():
    def dev_null() -> Check:
        raise OSError(errno.EIO, "broken")

    check = look(dev_null)
    assert check.verdict is Verdict.WARN
    assert check.name == "dev null"
    assert "broken" in check.seen


def test_few_open_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert kernel.open_files() == Check(
        "open files", Verdict.WARN, "256 (may be raised to 4096)", "ulimit -n 4096"
    )


@pytest.mark.parametrize(
    ("probe", "call"), [(kernel.memfd, "memfd_create"), (kernel.pidfd, "pidfd_open")]
)
def test_a_refused_system_call(monkeypatch: pytest.MonkeyPatch, probe, call: str):
    def refused(*_: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, call, refused)
    check = probe()
    assert check.verdict is Verdict.WARN
    assert "Operation not permitted" in check.seen
    assert "seccomp" in check.remedy


@pytest.mark.parametrize("probe", [kernel.memfd, kernel.pidfd])
def test_looking_leaves_no_descriptor(probe):
    before = set(os.listdir("/proc/self/fd"))
    probe()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_slow_clock(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "current_clocksource").write_text("hpet\n")
    (tmp_path / "available_clocksource").write_text("hpet tsc acpi_pm\n")
    monkeypatch.setattr(kernel, "_CLOCK", tmp_path)
    check = kernel.clock()
    assert check.verdict is Verdict.WARN
    assert check.remedy == f"echo tsc > {tmp_path}/current_clocksource"


@pytest.fixture
def cgroup(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """A unified hierarchy with this process in /a/b."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(room, "_CGROUPS", tmp_path)
    monkeypatch.setattr(
        room, "_own_cgroups", lambda name: [] if name else [tmp_path / "a" / "b", tmp_path / "a"]
    )
    return tmp_path / "a"


def test_the_tightest_cgroup_counts(cgroup):
    (cgroup / "b" / "memory.max").write_text("max\n")
    (cgroup / "b" / "memory.current").write_text("1\n")
    (cgroup / "memory.max").write_text(f"{600 << 20}\n")
    (cgroup / "memory.current").write_text(f"{200 << 20}\n")
    check = room.memory()
    assert check.verdict is Verdict.WARN
    assert "the cgroup allows 600.0 MiB, 200.0 MiB in use" in check.seen


def test_a_quota_of_cpu_time(cgroup):
    (cgroup / "cpu.max").write_text("50000 100000\n")
    check = room.cpus()
    assert check.verdict is Verdict.WARN
    assert "the time of 0.5" in check.seen
    assert "workers=1" in check.remedy


def test_own_cgroups_climb_to_the_root(monkeypatch, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "memory" / "x").mkdir(parents=True)
    listing = tmp_path / "cgroup"
    listing.write_text("5:cpu,cpuacct:/\n4:memory:/x\n0::/a/b\n")
    monkeypatch.setattr(room, "_CGROUPS", tmp_path)
    monkeypatch.setattr(room, "_OWN", listing)
    unified = [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    assert list(room._own_cgroups("")) == unified
    assert list(room._own_cgroups("memory")) == [tmp_path / "memory" / "x", tmp_path / "memory"]


def test_anyio_missing_or_old(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packages, "_version", lambda _: None)
    assert packages.anyio().verdict is Verdict.FAIL
    assert packages.demo_data().verdict is Verdict.ABSENT
    assert {look(probe).verdict for probe in packages.PROBES[1:]} == {Verdict.ABSENT}
    monkeypatch.setattr(packages, "_version", lambda _: "4.4.0")
    assert packages.anyio().verdict is Verdict.FAIL


def test_the_wrong_extension(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build._native, "build_profile", "debug")
    assert build.extension().verdict is Verdict.WARN
    monkeypatch.setattr(build.penstock, "__version__", "0.0.0")
    check = build.wheel()
    assert check.verdict is Verdict.FAIL
    assert "0.0.0 was loaded" in check.seen


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes(count: int, text: str):
    assert size(count) == text
