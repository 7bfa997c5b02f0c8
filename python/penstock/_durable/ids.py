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
    # Digits are cut from one text: shifting numbers of 128 bits takes longer.
    moment = time.time_ns() // 1_000_000 & 0xFFFFFFFFFFFF
    text = f"{moment:012x}{_generator.getrandbits(76):019x}"
    variant = _VARIANT[text[15]]
    return f"{text[:8]}-{text[8:12]}-7{text[12:15]}-{variant}{text[16:19]}-{text[19:]}"


# The bits 10 of the variant, and two of those that were drawn.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
