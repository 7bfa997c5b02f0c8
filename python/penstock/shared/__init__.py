"""What crosses between processes without being copied through a pipe.

So far its payload half, which the worker pool stands on: pickle streams whose large buffers lie
in shared memory.
"""

from __future__ import annotations

from .payload import OUT_OF_BAND, Payload, dump, load

__all__ = ("OUT_OF_BAND", "Payload", "dump", "load")
