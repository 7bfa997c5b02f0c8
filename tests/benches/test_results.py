"""From stored runs to the page: newest wins, nothing is dropped, nothing is flattered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benches import runs
from benches.refusal import Refusal
from benches.render import page
from benches.runs import Run, merge

MACHINE = {"cpu": "Fast 1", "cores": 2, "python": "CPython 3.11.7", "build_profile": "release"}


def row(
    name: str, ours: list[float], theirs: list[float], *targets: dict[str, Any], unit: str = "s"
) -> dict[str, Any]:
    return {
        "row": name,
        "question": f"How fast is {name}?",
        "shared": {"numpy": "2.4"},
        "figures": [
            {"name": "figure", "unit": unit, "more_is_better": unit not in ("s", "calls/item")}
        ],
        "targets": [{"figure": "figure", **target} for target in targets],
        "contenders": [
            {
                "name": "ours",
                "settings": "as it comes",
                "package": "penstock",
                "version": "1",
                "operations": 1000,
                "values": {"figure": ours},
            },
            {
                "name": "theirs",
                "settings": "tuned",
                "package": "peer",
                "version": "2.5",
                "operations": 1000,
                "values": {"figure": theirs},
            },
        ],
    }


def run(date: str, *rows: dict[str, Any], machine: dict[str, Any] = MACHINE) -> Run:
    return Run(
        date=f"2026-11-{date}T10:00:00+00:00",
        commit=f"c0ffee{date}",
        changed=False,
        rounds=5,
        load=0.1,
        environment=machine,
        rows=list(rows),
    )


def ratio_line(text: str, peer: str = "theirs") -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {peer} |"))
    return line


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    stored = run("20", row("queues/x", [1.0] * 5, [2.0] * 5))
    path = stored.save(tmp_path)
    assert path.name == "2026-11-20T100000Z-c0ffee20.json"
    assert runs.load(tmp_path) == [stored]
    stored.rows.append(row("queues/y", [1.0] * 5, [2.0] * 5))
    assert stored.save(tmp_path) == path
    assert runs.load(tmp_path) == [stored]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1, "date": "2026"}'])
def test_a_file_that_is_no_run_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content)
    with pytest.raises(Refusal, match=r"broken\.json is not a stored run"):
        runs.load(tmp_path)


def test_a_run_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = run("20").save(tmp_path)
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(Refusal, match="schema 99"):
        runs.load(tmp_path)


def test_the_newest_run_of_each_row_counts_whatever_the_order() -> None:
    old = run("20", row("a", [1.0], [1.0]), row("b", [1.0], [1.0]), row("gone", [1.0], [1.0]))
    new = run("21", row("a", [9.0], [1.0]))
    for order in ([old, new], [new, old]):
        merged = merge(order, known=["b", "a", "never measured"])
        assert [(found["row"], where.date[8:10]) for found, where in merged] == [
            ("b", "20"),
            ("a", "21"),
        ]


def test_the_page_merges_runs_and_says_where_each_row_is_from() -> None:
    other = {**MACHINE, "cpu": "Slow 2"}
    text = page(
        [
            run(
                "20", row("queues/a", [1.0] * 5, [2.0] * 5), row("metrics/b", [1.0] * 5, [3.0] * 5)
            ),
            run("21", row("queues/a", [1.0] * 5, [4.0] * 5), machine=other),
        ],
        known=["queues/a", "metrics/b"],
    )
    assert "| CPU | Slow 2 | Fast 1 |" in text
    assert text.index("## queues") < text.index("### queues/a") < text.index("## metrics")
    a = text[text.index("### queues/a") : text.index("## metrics")]
    b = text[text.index("### metrics/b") :]
    assert "**4.00×**" in ratio_line(a)
    assert "2026-11-21, commit c0ffee21, machine A" in a
    assert "**3.00×**" in ratio_line(b)
    assert "2026-11-20, commit c0ffee20, machine B" in b
    assert "Versions: numpy 2.4, peer 2.5." in text
    assert text.index("build profile | release") < text.index("## queues")


def test_rows_where_a_peer_wins_are_shown_in_place_and_gathered() -> None:
    text = page(
        [run("20", row("queues/a", [2.0] * 5, [1.0] * 5), row("queues/b", [1.0] * 5, [2.0] * 5))],
        known=["queues/a", "queues/b"],
    )
    behind = text[text.index("## Where penstock is not ahead") : text.index("## queues")]
    assert "| queues/a | figure | theirs | **0.50×** (0.50× to 0.50×) |" in behind
    assert "queues/b" not in behind
    assert "**0.50×**" in text[text.index("### queues/a") :]


def test_a_count_of_nothing_is_beyond_every_other_number() -> None:
    target = {"limit": 0, "peer": None}
    text = page(
        [run("20", row("queues/a", [0.0] * 5, [1.0] * 5, target, unit="calls/item"))], ["queues/a"]
    )
    assert "**∞×** (∞× to ∞×)" in ratio_line(text)
    assert ratio_line(text, "ours").endswith("| ≤ 0 calls/item | met |")


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [([3.0] * 5, "met"), ([1.5] * 5, "missed"), ([1.9, 3.0, 3.0, 3.0, 3.0], "open")],
)
def test_a_target_is_met_only_by_the_whole_interval(theirs: list[float], verdict: str) -> None:
    measured = row("queues/a", [1.0] * 5, theirs, {"limit": 2, "peer": "theirs"})
    line = ratio_line(page([run("20", measured)], ["queues/a"]))
    assert line.endswith(f"| ≥ 2× | {verdict} |")


def test_a_quick_look_gives_no_verdict() -> None:
    measured = row("queues/a", [1.0] * 4, [3.0] * 4, {"limit": 2, "peer": "theirs"})
    assert ratio_line(page([run("20", measured)], ["queues/a"])).endswith("| too few rounds |")


@pytest.mark.parametrize(
    ("unit", "limit", "ours", "goal", "verdict"),
    [
        ("s", 60e-9, 50e-9, "≤ 60.0 ns", "met"),
        ("s", 60e-9, 70e-9, "≤ 60.0 ns", "missed"),
        ("items/s", 3e6, 4e6, "≥ 3.00 M items/s", "met"),
        ("items/s", 3e6, 2e6, "≥ 3.00 M items/s", "missed"),
    ],
)
def test_a_limit_of_its_own_goes_by_the_unit(
    unit: str, limit: float, ours: float, goal: str, verdict: str
) -> None:
    measured = row("queues/a", [ours] * 5, [ours] * 5, {"limit": limit, "peer": None}, unit=unit)
    line = ratio_line(page([run("20", measured)], ["queues/a"]), "ours")
    assert line.endswith(f"| {goal} | {verdict} |")


def test_a_page_without_runs_says_so() -> None:
    assert "No run is stored yet." in page([], ["queues/a"])
