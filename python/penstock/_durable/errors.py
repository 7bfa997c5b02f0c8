"""Errors that rooms meet whatever the engine."""

from __future__ import annotations

from penstock.errors import EngineError

__all__ = ("OutcomeUnknown",)


class OutcomeUnknown(EngineError):
    """A commit failed so that nobody can say whether it happened."""

    code = "engine-outcome-unknown"
