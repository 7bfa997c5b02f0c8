"""C that stands beside this file, compiled when a row needs it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benches.refusal import Refusal

HERE = Path(__file__).parent


@contextmanager
def compiled(source: str, *flags: str, last: Sequence[str] = ()) -> Iterator[Path]:
    """The path of what comes out, there until the context is left. `CC` names the compiler."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with TemporaryDirectory(prefix="penstock-bench-") as folder:
        out = Path(folder) / Path(source).stem
        command = [
            *compiler,
            "-O2",
            "-std=gnu11",
            *flags,
            "-o",
            str(out),
            str(HERE / source),
            *last,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Refusal(
                f"no C compiler: {error}", hint="install one, or name it by CC"
            ) from error
        if done.returncode != 0:
            raise Refusal(f"{source} does not compile: {done.stderr}", hint=shlex.join(command))
        yield out
