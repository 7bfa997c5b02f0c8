"""The examples in the README and the documentation run, and print what they say they print."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from tests.house import pages

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what a page writes goes with the test
    pages.run(page, f"page_{page.stem.lower()}")


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^\s+- [^:]+: (\S+\.md)$", navigation, re.MULTILINE)
    present = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert sorted(listed) == sorted(present)


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_blocks_share_a_namespace_and_may_await(tmp_path: Path):
    text = (
        "```python\nimport asyncio\nx = 2\n```\n\n"
        "```python\nawait asyncio.sleep(0)\nprint(x + 1)\n```\n\n```text\n3\n```\n\n"
        "```py\nnot python at all\n```\n"
    )
    assert pages.run(page(tmp_path, text), "page_under_test") == 2


def test_the_wrong_output_is_seen(tmp_path: Path):
    with pytest.raises(AssertionError, match=r"page\.md:2: expected '4', got '3'"):
        pages.run(page(tmp_path, "```python\nprint(3)\n```\n```text\n4\n```\n"), "page_under_test")
    with pytest.raises(AssertionError, match="printed more"):
        pages.compare("1\n", "1\n2\n", "here")
    with pytest.raises(AssertionError, match="nothing more"):
        pages.compare("1\n2\n", "1\n", "here")


def test_an_ellipsis_stands_for_anything_within_a_line():
    pages.compare("took … s\ndone", "took 1.25 s\ndone\n", "here")
    with pytest.raises(AssertionError):
        pages.compare("took … s", "took\n s", "here")


def test_a_text_block_further_down_is_not_its_output():
    (example,) = pages.examples("```python\nx = 1\n```\nThe log file:\n```text\nhello\n```\n")
    assert example.output is None
