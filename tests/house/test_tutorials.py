"""Tutorials work as they are printed: their files, their commands, and what those print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import terminals

# They wait for leases and for processes, as long as a busy machine takes.
pytestmark = pytest.mark.timeout(300)

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("tutorial-*.md")), ids=lambda page: page.stem)
def test_it_runs_as_it_is_printed(page: Path, tmp_path: Path):
    # A machine that is busy with other tests may stop a process for longer than a reader's lease.
    assert terminals.run(page, tmp_path, lease="5.0") > 0


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_files_commands_and_two_terminals(tmp_path: Path):
    text = (
        '```py title="hello.py"\nprint("hello")\nprint(open("who").read())\n```\n'
        "```console\n$ printf Ada >who\n$ python hello.py\nhello\nA…\n```\n"
        '```console title="other"\n$ bash -c "echo ready; exec sleep 600"\nready\n^C\n```\n'
        "```console\n$ cat missing\ncat: missing: …\n$ sleep 600 &\n$ kill -9 $!\n$ wait\n```\n"
        "```sh\nexit 1\n```\n"
    )
    assert terminals.run(page(tmp_path, text), tmp_path) == 7


def test_what_is_not_on_the_page_is_seen(tmp_path: Path):
    with pytest.raises(AssertionError, match=r"page\.md:3: expected '2', got '1'"):
        terminals.run(page(tmp_path, "```console\n$ echo 1\n2\n```\n"), tmp_path)
    with pytest.raises(AssertionError, match="printed more"):
        terminals.run(page(tmp_path, "```console\n$ echo 1; echo 2\n1\n```\n"), tmp_path)
    with pytest.raises(AssertionError, match="nothing more"):
        terminals.run(page(tmp_path, "```console\n$ exit\n1\n```\n"), tmp_path)
