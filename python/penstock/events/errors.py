"""Errors of this room alone."""

from __future__ import annotations

from penstock.errors import Expired, Full

__all__ = ("Dropped", "HandlerTimeout")


class Dropped(Full):
    """An event that found no room, or had to make room for a later one, as the bus was told to."""

    code = "event-dropped"


class HandlerTimeout(Expired):
    """A handler took longer than its `timeout`; it was cancelled, or its thread left behind."""

    code = "handler-timeout"
