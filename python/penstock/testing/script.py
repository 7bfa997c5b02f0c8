"""Attempts that go as written."""

from __future__ import annotations

from penstock.resilience import Chaos
from penstock.resilience.chaos import Decision

__all__ = ("scripted",)


def scripted(*decisions: Decision) -> Chaos:
    """An innermost strategy that decides each attempt in order: an exception is raised, a number
    delays by so many seconds, "pass" lets it through. After the last, all pass.

    Example:
        >>> from penstock import Policy, Retry
        >>> policy = Policy("test", Retry(delay=0.0), scripted(ConnectionError("no"), "pass"))
        >>> policy.call(int, "7")
        7

    """
    return Chaos(script=decisions)
