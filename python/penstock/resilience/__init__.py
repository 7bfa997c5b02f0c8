"""What to do when a call fails: so far, how often to try again and how long to wait between."""

from __future__ import annotations

from .retry import Retry

__all__ = ("Retry",)
