"""The program on the documentation's page compiles and runs as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.capi.programs import SECONDS, STRICT
from tests.house.pages import compare

PAGE = Path(__file__).parents[2] / "docs" / "shared-c.md"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_feed_is_compiled_and_run(tmp_path: Path):
    text = PAGE.read_text(encoding="utf-8")
    (feed,), (main,) = blocks(text, 'c title="feed.c"'), blocks(text, 'py title="main.py"')
    (typed,) = blocks(text, "console")
    (tmp_path / "feed.c").write_text(feed, encoding="utf-8")
    (tmp_path / "main.py").write_text(main, encoding="utf-8")
    commands = [line.removeprefix("$ ") for line in typed.splitlines() if line.startswith("$ ")]
    answers = [line for line in typed.splitlines() if not line.startswith("$ ")]
    # The page's own warnings are errors here.
    script = "\n".join(commands).replace("cc -std=c99", f"cc {' '.join(STRICT)} -std=c99")
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    compare("\n".join(answers), done.stdout, PAGE.name)


def test_the_loop_that_receives_compiles(tmp_path: Path):
    import penstock
    from tests.capi.programs import compiler

    (loop,) = blocks(PAGE.read_text(encoding="utf-8"), "c")
    source = tmp_path / "loop.c"
    source.write_text(
        "#include <penstock.h>\nvoid handle(const char *bytes, size_t length);\n"
        f"void run(penstock_queue *queue);\nvoid run(penstock_queue *queue)\n{{\n{loop}}}\n"
    )
    flags = ["-std=c99", *STRICT, f"-I{penstock.include_dir()}", "-fsyntax-only"]
    subprocess.run([*compiler(), *flags, str(source)], check=True)
