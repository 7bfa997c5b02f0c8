"""`python -m penstock demo`: its options, its exit codes, and nothing of the work itself.

With `--kill-after` this process is the supervisor, which does not work itself: it runs the same
command again, without that option, and kills it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from penstock.errors import PenstockError

from .failures import DemoError, require_packages
from .stopping import sigterm_as_interrupt
from .supervisor import Plan, die_with_supervisor, supervise

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
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=2013,
        help="of what is drawn by lot: seats sold, fares, mishaps (default: 2013)",
    )
    parser.add_argument(
        "--database",
        metavar="PATH",
        type=Path,
        help="where seats, sagas and messages are kept; a run that was stopped goes on from there "
        "(default: a temporary file)",
    )
    parser.add_argument(
        "--kill-after",
        metavar="SHARE",
        type=float,
        action="append",
        help="kill -9 the working process once so large a share of the cancelled flights is "
        "settled, and have another one take over; several times: that one is killed, too",
    )
    # Of the working process below a supervisor.
    parser.add_argument("--desk", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--temporary", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--json", action="store_true", help="print the closing figures as JSON on stdout"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the demo and return its exit code.

    0: it went through; 1: the ledger does not balance, with the first differences on stderr; 2: it
    could not be done, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM.
    """
    with sigterm_as_interrupt() as stop:
        try:
            return _run(arguments)
        except BrokenPipeError:
            raise  # whoever reads stdout has gone; not a failure of the run
        except (DemoError, PenstockError, OSError) as error:
            print(_line(error), file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(_stopped(arguments, stop.reason, "stopped before its end"), file=sys.stderr)
            return stop.code


def _run(arguments: argparse.Namespace) -> int:
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
    if arguments.kill_after:
        return _supervise(arguments)
    die_with_supervisor()
    # What is tried again until it is hopeless ends as one line, what was given up is in the report.
    logging.getLogger("penstock").addHandler(logging.NullHandler())
    # Only now: these need the packages that were just looked for.
    with _interrupts_held():
        from rich.console import Console

        from .data import flights_file
        from .figures import figures
        from .output import Output, check_writable
        from .pipeline import Settings, work_through
        from .progress import shown_progress
        from .rebooking.lock import Lock
        from .rebooking.operation import Terminated
        from .report import page
        from .table import closing_table

    source = flights_file(arguments.data)
    quarantine = arguments.quarantine or arguments.report.parent / "quarantine.csv"
    check_writable(arguments.report, "--report", source)
    check_writable(quarantine, "--quarantine", source, arguments.report)
    try:
        with (
            _database(arguments.database) as database,
            Lock(database),
            shown_progress(quiet=arguments.quiet) as show,
        ):
            settings = Settings(
                source, quarantine, workers, database, arguments.seed, arguments.desk
            )
            run = work_through(settings, show)
    except Terminated:
        print(_stopped(arguments, "stopped by SIGTERM", "all is drained"), file=sys.stderr)
        return 128 + signal.SIGTERM
    with Output(arguments.report) as file:
        file.write(page(run))
    if arguments.json:
        json.dump(figures(run), sys.stdout, indent=2)
        print()
    else:
        Console().print(closing_table(run, arguments.report))
    if run.rebookings is None or run.rebookings.check.is_balanced:
        return 0
    check = run.rebookings.check
    print(f"penstock demo: {check.line}:", file=sys.stderr)
    for difference in check.differences:
        print(f"  {difference}", file=sys.stderr)
    if check.more:
        print(f"  and {check.more:,} more", file=sys.stderr)
    return 1


def _stopped(arguments: argparse.Namespace, reason: str, state: str) -> str:
    kept = arguments.database is not None and not arguments.temporary
    then = "it goes on" if kept else "it starts afresh; --database keeps what is done"
    return f"penstock demo: {reason}: {state} hint: run it again, {then}"


def _supervise(arguments: argparse.Namespace) -> int:
    from .rebooking.lock import Lock

    with _database(arguments.database) as database:
        with Lock(database):
            pass  # Whoever has it has a refund desk on the ledger, too: say now whose it is.
        return supervise(
            Plan(
                command=_command(arguments, database),
                environment=os.environ,
                database=database,
                kill_after=tuple(arguments.kill_after),
                start_desk=partial(_desk, database, arguments.seed),
                quiet=arguments.quiet,
            )
        )


@contextmanager
def _desk(database: Path, seed: int) -> Iterator[list[str]]:
    """A refund desk, and what a working process has to be told of it."""
    from .rebooking.desk_process import Desk
    from .rebooking.files import ledger_of

    ledger = ledger_of(database)
    desk = Desk(ledger, seed)
    desk.start()
    try:
        yield ["--desk", str(desk.socket)]
    finally:
        desk.stop()
        if not database.exists() and ledger.exists() and not ledger.stat().st_size:
            ledger.unlink()  # The run has not begun, or needs none.


def _command(arguments: argparse.Namespace, database: Path) -> list[str]:
    """The command line of a working process: this one, with what the supervisor adds."""
    command = [sys.executable, "-m", "penstock", "demo", f"--database={database}"]
    for option in ("seed", "data", "report", "quarantine", "workers"):
        value = getattr(arguments, option)
        if value is not None:
            command.append(f"--{option}={value}")
    command += [f"--{name}" for name in ("quiet", "json") if getattr(arguments, name)]
    return command if arguments.database is not None else [*command, "--temporary"]


@contextmanager
def _database(path: Path | None) -> Iterator[Path]:
    """The file to work on; a temporary one goes with everything beside it."""
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        yield Path(folder) / "rebooking.db"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait: inside numpy's import it comes out as a RuntimeError, not as itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
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
