"""The command line: an overview, one line for bad usage, quiet ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import penstock
from penstock.cli import command, main


def penstock_command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_without_arguments_it_says_what_it_is_on_one_screen():
    done = penstock_command()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"penstock {penstock.__version__} on CPython 3.")
    assert any(line.startswith("  penstock doctor ") for line in lines)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_help_is_the_same_overview():
    assert penstock_command("--help").stdout == penstock_command().stdout


def test_version():
    assert penstock_command("--version").stdout == f"penstock {penstock.__version__}\n"


def test_the_installed_script_is_the_same_command():
    script = os.path.join(os.path.dirname(sys.executable), "penstock")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"penstock {penstock.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["docter"], "'docter'"),
        (["--colour"], "--colour"),
        (["--"], "penstock: "),
        (["doctor", "--jason"], "--jason"),
        (["doctor", "now"], "now"),
    ],
)
def test_bad_usage_is_one_line_with_a_hint(arguments: list[str], named: str):
    done = penstock_command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    message, hint = done.stderr.splitlines()
    assert message.startswith("penstock")
    assert named in message
    assert hint.startswith("  hint: penstock")
    assert hint.endswith("--help")


def test_each_command_explains_itself():
    for present in command._present():
        done = penstock_command(present.name, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: penstock {present.name}")
        assert present.purpose[1:] in done.stdout


def test_a_command_whose_room_is_not_in_the_wheel_is_not_offered(monkeypatch, capsys):
    missing = command._Command("fly", "take off", "penstock.no_such_room.command")
    monkeypatch.setattr(command, "_COMMANDS", (*command._COMMANDS, missing))
    main([])
    assert "fly" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["fly"])
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_130(monkeypatch, capsys):
    from penstock.cli.doctor import command as doctor

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "main", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "penstock doctor: interrupted\n"


# Ctrl-C comes while a module is imported.
EARLY = """
import runpy, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv = ["penstock", "doctor"]
runpy.run_module("penstock", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("penstock.cli", ""),
        ("penstock.cli.doctor", "penstock doctor: interrupted\n"),
        ("penstock.cli.doctor.command", "penstock doctor: interrupted\n"),
    ],
)
def test_ctrl_c_while_it_is_loaded_shows_no_traceback(module, said):
    done = subprocess.run(
        [sys.executable, "-c", EARLY.format(module=module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, said)


def test_a_reader_that_has_gone_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "doctor"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
