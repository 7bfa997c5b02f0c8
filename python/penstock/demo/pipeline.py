"""The run itself: file → lines → blocks → batches → analysis → one table → findings."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np

from .analysis import analyse
from .batches import BATCH_ROWS, RECORD, join
from .data import flights_file, read_airlines, read_reference
from .findings import find
from .parse import Parser
from .quarantine import Quarantine
from .run import Run
from .sampler import Sampler
from .statistics import ENTRY, merge

__all__ = ("Settings", "work_through")

BLOCK_LINES = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line chooses."""

    data: Path | None
    quarantine: Path
    workers: int


def work_through(settings: Settings) -> Run:
    """Work through the file once."""
    source = flights_file(settings.data)
    reference = read_reference()
    table = np.zeros(0, ENTRY)
    batches = 0
    started = datetime.now().astimezone()
    with Quarantine(settings.quarantine) as quarantine:
        parser = Parser(str(source), quarantine.add)
        with Sampler(lambda: (parser.lines, 0, 0)) as sampler:
            lines = _lines(source)
            while block := list(islice(lines, BATCH_ROWS)):
                parts = [
                    parser(block[start : start + BLOCK_LINES])
                    for start in range(0, len(block), BLOCK_LINES)
                ]
                _, part = analyse(join(parts), reference)
                table = merge(table, part)
                batches += 1
            findings = find(table)
    return Run(
        source=source,
        started=started,
        seconds=sampler.seconds,
        lines=parser.lines,
        quarantined=quarantine.lines,
        quarantine=settings.quarantine,
        findings=findings,
        recovery=None,
        airlines=read_airlines(),
        workers=settings.workers,
        batches=batches,
        batch_bytes=BATCH_ROWS * RECORD.itemsize,
        largest_stream=0,
        utilisation=0.0,
        stages=(),
        samples=tuple(sampler.samples),
    )


def _lines(source: Path) -> Iterator[str]:
    with source.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(b"PK"):
            archive = zipfile.ZipFile(file)
            raw: io.BufferedIOBase = archive.open(archive.namelist()[0])  # type: ignore[assignment]
        elif magic.startswith(b"\x1f\x8b"):
            raw = gzip.open(file)  # type: ignore[assignment]
        else:
            raw = file
        for line in io.TextIOWrapper(raw, encoding="latin-1"):
            yield line.rstrip("\n")
