"""The README tells of the rooms that exist, and its commands are the ones that are run."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import penstock

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Not rooms in the sense of the table: they are told of elsewhere on the page, or come with a room.
APART = {"cli", "demo", "engines", "errors", "testing"}


def rooms() -> set[str]:
    found = {module.name for module in pkgutil.iter_modules(penstock.__path__)}
    return {name for name in found if not name.startswith("_")} - APART


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_table_lists_the_rooms_there_are_and_links_their_pages():
    table = section("What is in it")
    rows = re.findall(r"^\| [^|]+ \| (\[?`(\w+)`[^|]*) \|", table, re.MULTILINE)
    assert {room for _, room in rows} == rooms()
    for cell, room in rows:
        page = f"docs/{room}.md"
        assert cell == (f"[`{room}`]({page})" if (ROOT / page).exists() else f"`{room}`")


def test_each_pattern_of_typescript_has_its_example():
    """The same rows in both tables, and behind each link a block that the pages' test runs."""
    page = (ROOT / "docs" / "coming-from-typescript.md").read_text(encoding="utf-8")
    link = r"^\| (`[^|]+) \| .*#([\w-]+)\)"
    rows = re.findall(link, section("Coming from TypeScript"), re.MULTILINE)
    assert len(rows) == 13
    head, *parts = page.split("\n## ")
    assert re.findall(link, head, re.MULTILINE) == rows
    found = {
        re.sub(r"[^\w ]", "", part.split("\n")[0]).lower().replace(" ", "-"): part for part in parts
    }
    assert list(found) == [anchor for _, anchor in rows]
    for part in found.values():
        assert "```ts\n" in part
        assert "```python\n" in part
        assert "```text\n" in part


def test_what_is_to_come_is_not_there_yet():
    (line,) = re.findall(r"^To come, .*$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) & rooms() == set()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    assert "](benches/RESULTS.md)" in README


def test_the_two_commands_come_first_and_continuous_integration_runs_the_second():
    first = re.search(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make demo",
        "make test",
    ]
    assert first.start() < README.index("\n## ")
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert run.rstrip().endswith("make test")
    assert "export CI=true" in run
