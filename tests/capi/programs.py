"""C programs, compiled as the documentation says and run beside the tests."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import penstock

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
SECONDS = 30.0
"""A ceiling against hangs."""


def compiler(name: str = "CC", usual: str = "cc") -> list[str]:
    return shlex.split(os.environ.get(name, usual))


def compiled(source: Path, folder: Path, *flags: str) -> Path:
    """A program of one file, linked with the library that needs no Python."""
    library = penstock.library_path()
    program = folder / source.stem
    command = [
        *compiler(),
        "-std=c99",
        *STRICT,
        *flags,
        "-O1",
        f"-I{penstock.include_dir()}",
        str(source),
        library,
        f"-Wl,-rpath,{Path(library).parent}",
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    return program


class Program:
    """A running one; it is killed if it is left running."""

    def __init__(self, command: Sequence[str | Path], *, fds: Sequence[int] = ()) -> None:
        self.process = subprocess.Popen(
            [str(word) for word in command],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def outcome(self) -> str:
        """What else it prints, when it has ended well."""
        out, errors = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, f"{self.process.returncode}: {out}{errors}"
        return out.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.process, name)
