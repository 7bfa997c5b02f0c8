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
from .batches import BATCH_ROWS, join
from .data import flights_file, read_airlines, read_reference
from .findings import find
from .parse import Parser
from .progress import Show
from .quarantine import Quarantine
from .recovery import Recovery, best_recovery
from .run import Run, Sample
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


def work_through(settings: Settings, show: Show) -> Run:
    """Work through the file once."""
    source = flights_file(settings.data)
    reference = read_reference()
    table = np.zeros(0, ENTRY)
    batches = largest = 0
    best: Recovery | None = None
    started = datetime.now().astimezone()
    with Quarantine(settings.quarantine) as quarantine:
        parser = Parser(str(source), quarantine.add)

        def look(seconds: float, memory: int | None) -> Sample:
            return Sample(
                seconds, parser.lines * 92, parser.lines, batches * BATCH_ROWS, memory, 0, 0
            )

        with Sampler(look, show) as sampler:
            lines = _lines(source)
            while block := list(islice(lines, BATCH_ROWS)):
                parts = [
                    parser(block[start : start + BLOCK_LINES])
                    for start in range(0, len(block), BLOCK_LINES)
                ]
                batch, part = analyse(join(parts), reference)
                largest = max(largest, batch.nbytes)
                found = best_recovery(batch)
                if found and (best is None or found > best):
                    best = found
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
        recovery=best,
        airlines=read_airlines(),
        workers=settings.workers,
        batches=batches,
        largest_batch=largest,
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
