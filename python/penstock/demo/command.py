"""`python -m penstock demo`: its options, its exit codes, and nothing of the work itself."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import PenstockError

from .failures import DemoError, require_packages

__all__ = ("add_arguments", "main")

# A year of flights is six batches; more workers would only cost memory.
_MOST_WORKERS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to `parser`."""
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=Path,
        help="flights to work through: csv, csv.gz or zip (default: New York, 2013)",
    )
    parser.add_argument(
        "--report",
        metavar="PATH",
        type=Path,
        default=Path("report.html"),
        help="where to write the report (default: ./report.html)",
    )
    parser.add_argument(
        "--quarantine",
        metavar="PATH",
        type=Path,
        help="where to keep lines that cannot be parsed (default: quarantine.csv by the report)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="worker processes (default: one per CPU, at most 4)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--json", action="store_true", help="print the closing figures as JSON on stdout"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the demo: 0 when it went through, 2 with one line on stderr, 130 after Ctrl-C."""
    try:
        _run(arguments)
    except BrokenPipeError:
        raise  # whoever reads stdout has gone; not a failure of the run
    except (DemoError, PenstockError, OSError) as error:
        print(_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "penstock demo: interrupted: stopped before its end "
            "hint: run it again, it starts afresh",
            file=sys.stderr,
        )
        return 130
    return 0


def _run(arguments: argparse.Namespace) -> None:
    require_packages()
    workers = arguments.workers
    if workers is None:
        workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    elif workers < 1:
        raise DemoError(
            f"--workers {workers}",
            "is not a number of processes",
            "give 1 or more, or leave it out for one per CPU",
        )
    # Only now: these need the packages that were just looked for.
    with _interrupts_held():
        from rich.console import Console

        from .data import flights_file
        from .figures import figures
        from .output import Output, check_writable
        from .pipeline import Settings, work_through
        from .progress import shown_progress
        from .report import page
        from .table import closing_table

    source = flights_file(arguments.data)
    quarantine = arguments.quarantine or arguments.report.parent / "quarantine.csv"
    check_writable(arguments.report, "--report", source)
    check_writable(quarantine, "--quarantine", source, arguments.report)
    with shown_progress(quiet=arguments.quiet) as show:
        run = work_through(Settings(source, quarantine, workers), show)
    with Output(arguments.report) as file:
        file.write(page(run))
    if arguments.json:
        json.dump(figures(run), sys.stdout, indent=2)
        print()
    else:
        Console().print(closing_table(run, arguments.report))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait: inside numpy's import it comes out as a RuntimeError, not as itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _line(error: DemoError | PenstockError | OSError) -> str:
    if isinstance(error, DemoError):
        return str(error)
    if isinstance(error, PenstockError):
        what, hint = str(error), error.hint or "report it if it comes again"
    else:
        reason = (error.strerror or str(error)).lower()
        what = reason if error.filename is None else f"{error.filename}: {reason}"
        hint = "make room or choose another path, and run it again"
    return " ".join(f"penstock demo: {what} hint: {hint}".split())
