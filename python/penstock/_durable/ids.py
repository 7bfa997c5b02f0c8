"""Ids of messages and events: UUIDs of version 7, so that they sort by the time they were made.

Drawn from a generator that the kernel seeds, once for each process: asking the kernel for every id
would release the interpreter lock each time, and the loop would wait to have it back.
"""

from __future__ import annotations

import os
import random
import time

_generator = random.Random()  # noqa: S311 (ids have to differ, not to be secret)
# A forked child would go on with its parent's numbers.
os.register_at_fork(after_in_child=_generator.seed)


def new_id() -> str:
    """A new id. Any thread may call it."""
    moment = time.time_ns() // 1_000_000
    bits = _generator.getrandbits(74)
    number = (moment & 0xFFFFFFFFFFFF) << 80 | 7 << 76 | (bits >> 62) << 64
    number |= 0b10 << 62 | bits & 0x3FFFFFFFFFFFFFFF
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
