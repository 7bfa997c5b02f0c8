"""The file source: one thread per run reads and unpacks, at most two blocks ahead of the loop.

The thread owns the file from opening to closing. It ends by itself at the end of the file, at
an error, or when the run shuts its queue down; `close` waits for it, so that no thread and no
descriptor outlives the run. A read that is under way cannot be interrupted: leaving a run waits
for it, one block of a regular file.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from penstock.errors import Closed
from penstock.queues import Queue

from .archive import open_content
from .step import Head

__all__ = ("FileSource",)

_AHEAD: Final = 2


class FileSource(Head):
    def __init__(self, name: str, path: str, chunk_size: int, member: str | None) -> None:
        super().__init__(name, None)
        self._path = path
        self._chunk_size = chunk_size
        self._member = member
        self._blocks: Queue[tuple[bytes, int]] = Queue(maxsize=_AHEAD)
        self._ended: Queue[None] = Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name=f"penstock {name}", daemon=True)
        self._at_end = False
        self.bytes_read = 0
        self.bytes_total = 0

    async def open(self) -> None:
        """Start the thread and wait until it has opened the file, or raise why it could not."""
        self._thread.start()
        await self.pull(0)

    async def pull(self, want: int) -> list[Any] | None:  # noqa: ARG002
        if self._at_end:
            return None
        self.occupation.waiting = "upstream"
        try:
            block, self.bytes_read = await self._blocks.aget()
        except Closed:
            self._at_end = True
        finally:
            self.occupation.waiting = None
        if not self._at_end:
            return self._emit([block]) if block else []
        if self._error is not None:
            raise self._error
        return None

    async def close(self) -> None:
        self._at_end = True
        self._blocks.shutdown(immediate=True)
        if self._thread.is_alive():
            try:
                await self._ended.aget()
            except Closed:
                self._thread.join()

    def buffered(self) -> int:
        return self._blocks.qsize()

    def _read(self) -> None:
        try:
            content = open_content(self._path, self._member)
            try:
                self.bytes_total = content.total
                self._blocks.put((b"", 0))
                while block := content.read(self._chunk_size):
                    self._blocks.put((block, content.read_so_far))
            finally:
                content.close()
        except Closed:
            pass
        except BaseException as error:  # handed to the task that pulls  # noqa: BLE001
            self._error = error
        finally:
            self._blocks.shutdown()
            self._ended.shutdown()
