"""Starts the refund desk as a process of its own, again whenever it dies, and ends it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread

from penstock.demo.failures import DemoError

__all__ = ("Desk",)

_OPENS_WITHIN = 60.0
_CLOSES_WITHIN = 10.0

# A unix socket's path has room for 107 bytes.
_LONGEST_FOLDER = 80

# Between attempts to open it again, in seconds, growing.
_SOON, _LATE = 0.05, 2.0


class Desk:
    """A refund desk for one ledger: `start()` and `stop()`, or `async with`.

    Its socket lies in a private folder of its own. A desk that dies by itself is opened again at
    the same place, by a thread that watches it; its clients ask again. It ends with the process
    that has started it, however that ends.
    """

    def __init__(self, ledger: Path, seed: int) -> None:
        self._ledger = ledger
        self._seed = seed
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._is_ending = threading.Event()
        # Held while a process is begun, so that whoever ends the desk knows of it.
        self._beginning = threading.Lock()

    @property
    def socket(self) -> Path:
        """Where it listens; for a `DeskClient` here or in another process."""
        if self._folder is None:
            raise RuntimeError("the desk has not been started")
        return self._folder / "desk"

    @property
    def pid(self) -> int:
        """Its process id; another one once it has died and was opened again."""
        if self._process is None:
            raise RuntimeError("the desk has not been started")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it listens; blocks.

        Raises `DemoError` when it cannot, as for a ledger that is none.
        """
        self._end()
        if self._folder is None:
            self._folder = _private_folder()
        try:
            self._open()
        except BaseException:
            self.stop()
            raise
        self._keeper = threading.Thread(target=self._keep, name="penstock-desk-keeper", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """End the process and take its folder away; blocks, and may be repeated."""
        self._end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _open(self) -> None:
        with self._beginning:
            if self._is_ending.is_set():
                return
            self._process = process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-m", "penstock.demo.rebooking.desk"),
                    *(f"--socket={self.socket}", f"--ledger={self._ledger}"),
                    *(f"--seed={self._seed}", f"--parent={os.getpid()}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                process_group=0,  # a Ctrl-C at the terminal is for its parent to decide
            )
        said = _first_line(process)
        if "failure" in said:
            raise DemoError(*said["failure"])

    def _keep(self) -> None:
        """Open it again whenever it ends unasked; that it never will is told once."""
        pause = _SOON
        while not self._is_ending.is_set():
            process = self._process
            if process is None:
                return
            process.wait()
            _close(process)
            if self._is_ending.wait(pause):
                return
            try:
                self._open()
            except (DemoError, OSError) as error:
                pause = min(_LATE, pause * 2)
                # One that was killed while it opened has failed, too, but for the first time.
                if pause == _SOON * 4 and not self._is_ending.is_set():
                    print(error, file=sys.stderr, flush=True)
            else:
                pause = _SOON

    def _end(self) -> None:
        self._is_ending.set()
        with self._beginning:
            process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_CLOSES_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.join()
        if process is not None:
            _close(process)
        self._is_ending.clear()

    async def __aenter__(self) -> Self:
        try:
            await anyio.to_thread.run_sync(self.start)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is not None:
        process.stdout.close()


def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="penstock-desk-"))
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="penstock-desk-", dir="/tmp"))
    return folder


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the desk says once it listens, or knows that it never will."""
    assert process.stdout is not None
    end = time.monotonic() + _OPENS_WITHIN
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        piece = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not piece:
            what = "ended" if ready else f"did not answer within {_OPENS_WITHIN:.0f} s"
            return {"failure": ["the refund desk", what, "see what it has printed above"]}
        text += piece
    said: dict[str, Any] = json.loads(text)
    return said
