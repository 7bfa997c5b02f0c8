"""Where the rooms meet: file → lines → blocks → batches → workers → one table → findings.

Everything here is bounded. The stream holds a few blocks of bytes, the blocks of one batch, and
per worker one batch that waits, one that is out and one that is back; beside them there are only
the table, which grows with the number of routes and not of flights, and the samples.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np

from penstock.adapters import to_async
from penstock.streams import LineError, Stream
from penstock.workers import WorkerPool

from .analysis import Analysed, analyse
from .batches import BATCH_ROWS, BLOCK_LINES, join
from .comparison import compare_statistics
from .data import read_airlines, read_planes, read_reference
from .failures import DemoError
from .findings import find
from .lost_workers import run_again
from .numbers import Numbers
from .parse import Parser
from .progress import Show
from .quarantine import Quarantine
from .rebooking.files import digest, ledger_of
from .rebooking.operation import Order, operate
from .rebooking.outcome import Rebookings
from .rebooking.rules import DEFAULT_SEED
from .rebooking.schedule import Collector, Schedule
from .rebooking.summary import checked, summarise
from .recovery import Recovery, best_recovery
from .run import Run, Sample
from .sampler import Sampler
from .statistics import ENTRY, merge

__all__ = ("Settings", "work_through")

# What a batch may weigh once its arrays travel beside it, and from which size on they surely do.
_LARGEST_STREAM = 4096
_BY_REFERENCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line chooses, and the sizes that tests make small.

    Without a `database` there is no second half.
    """

    source: Path
    quarantine: Path
    workers: int
    database: Path | None = None
    seed: int = DEFAULT_SEED
    desk: Path | None = None
    """Socket of a refund desk that runs already."""
    block_lines: int = BLOCK_LINES
    batch_rows: int = BATCH_ROWS


def work_through(settings: Settings, show: Show) -> Run:
    """Work through the file once, in an event loop of its own; `show` is given each sample.

    Raises `DemoError` for a file that is no flights file, and what the stream and the pool raise.
    Ctrl-C, or an error anywhere, ends the workers and the quarantine file before it surfaces.
    """
    return anyio.run(_work_through, settings, show)


async def _work_through(settings: Settings, show: Show) -> Run:
    started = datetime.now().astimezone()
    numbers = Numbers()
    measured = numbers.measured
    table = np.zeros(0, ENTRY)
    best: Recovery | None = None
    sizes: list[int] = []
    streams: list[int] = []

    with Quarantine(settings.quarantine) as quarantine:
        parser = Parser(str(settings.source), quarantine.add)
        pool = WorkerPool(settings.workers, preload=("penstock.demo.analysis",), name="demo")
        collector = Collector(read_planes())
        in_worker = partial(run_again, pool, partial(analyse, reference=read_reference()))
        stream = (
            Stream.from_file(settings.source)
            .lines(encoding="utf-8-sig", on_error=partial(_lose, parser))
            .batch(settings.block_lines)
            .map(measured("parse")(parser.parse))
            .batch(settings.batch_rows // settings.block_lines)
            .map(measured("join")(join))
            .map(measured("collect")(collector.add))
            # The table is the same in any order, so no batch has to wait for another.
            .map(measured("hand_over")(in_worker), concurrency=settings.workers, ordered=False)
        )
        add_up = measured("merge")(merge)

        def look(seconds: float, memory: int | None) -> Sample:
            return numbers.sample(seconds, memory, parser.lines, stream.statistics(), pool)

        with Sampler(look, show) as sampler:
            async with pool, stream as results:
                async for analysed in results:
                    batch = analysed.batch
                    numbers.analysed(len(batch), analysed.seconds)
                    best = max(filter(None, (best, best_recovery(batch))), default=None)
                    table = add_up(table, analysed.table)
                    sizes.append(batch.nbytes)
                    streams.append(_stream_bytes(analysed))
            _check_whole(parser, settings.source)
            seconds = sampler.seconds
            findings = find(table)
            comparison = await to_async(compare_statistics)(table)
            statistics = pool.statistics()

    rebookings = None
    if settings.database is not None:
        schedule = collector.schedule()
        if schedule.cancellations:
            lost = settings.quarantine if quarantine.lines else None
            rebookings = await _rebook(settings, settings.database, schedule, lost, show)

    largest_stream = max((statistics.largest_stream, *streams))
    if min(sizes, default=0) >= _BY_REFERENCE and largest_stream >= _LARGEST_STREAM:
        raise AssertionError(f"a batch took {largest_stream:,} bytes of pickle stream")
    return Run(
        source=settings.source,
        started=started,
        seconds=seconds,
        lines=parser.lines,
        quarantined=quarantine.lines,
        quarantine=settings.quarantine,
        findings=findings,
        recovery=best,
        airlines=read_airlines(),
        workers=settings.workers,
        batches=len(sizes),
        largest_batch=max(sizes, default=0),
        largest_stream=largest_stream,
        utilisation=statistics.utilisation,
        stages=numbers.stages(),
        samples=tuple(sampler.samples),
        rebookings=rebookings,
        comparison=comparison,
    )


async def _rebook(
    settings: Settings, database: Path, schedule: Schedule, lost: Path | None, show: Show
) -> Rebookings:
    """The second half: operate, have the ledger checked, and sum up."""
    order = Order(
        database=database,
        ledger=ledger_of(database),
        seed=settings.seed,
        workers=settings.workers,
        source=settings.source,
        digest=await anyio.to_thread.run_sync(digest, settings.source),
        socket=settings.desk,
        # Beside a desk that runs already there is a supervisor, which counts, too.
        root=None if settings.desk is None else os.getppid(),
    )
    done = await operate(order, schedule, show)
    check = await checked(order, lost)
    return summarise(order, schedule, done, check)


def _lose(parser: Parser, text: bytes, error: Exception) -> None:
    """Quarantine a line that is not UTF-8, or too long to be one."""
    assert isinstance(error, LineError)
    parser.lose(error.line, str(error), text.decode("utf-8", "backslashreplace"))


def _stream_bytes(analysed: Analysed) -> int:
    """How long the pickle stream was that brought this back, the arrays beside it not counted."""
    return len(pickle.dumps(analysed, protocol=5, buffer_callback=lambda _: None))


def _check_whole(parser: Parser, source: Path) -> None:
    if not parser.lines:
        raise DemoError(str(source), "is empty", "give a file with a header line and flights")
