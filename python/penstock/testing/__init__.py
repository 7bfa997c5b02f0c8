"""For tests of code that uses penstock: a clock that only tests move, and what strategies did.

with instant() as clock:            # no pause takes time; clock.sleeps has them
with FakeClock() as clock:          # time stands still until clock.advance(...)
with capture() as events:           # a list of all that strategies report
Policy("test", Retry(), scripted(ConnectionError(), "pass"))
"""

from __future__ import annotations

from .capturing import capture
from .clock import FakeClock, instant
from .script import scripted

__all__ = ("FakeClock", "capture", "instant", "scripted")
