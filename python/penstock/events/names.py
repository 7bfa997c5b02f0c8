"""Names of events, and patterns of them: words between dots.

`*` stands for one word, `**` for any number of them, none included.
"""

from __future__ import annotations

from penstock.errors import Misuse

__all__ = ("check_name", "check_pattern", "matches", "shown")

_HINT = 'words between dots, such as "user.created"'


def shown(event: str | type) -> str:
    """How a name or a class is called in messages and headers."""
    return event.__qualname__ if isinstance(event, type) else event


def check_name(text: str, whose: str) -> None:
    """Raises Misuse for what is no name."""
    if not all(text.split(".")):
        raise Misuse(f"{whose}: {text!r} is no name of an event", hint=_HINT)
    if "*" in text:
        raise Misuse(
            f"{whose}: {text!r} is a pattern; one event has one name",
            hint="patterns are for `on`",
        )


def check_pattern(text: str, whose: str) -> None:
    """Raises Misuse for what is neither a name nor a pattern."""
    for word in text.split("."):
        if not word or ("*" in word and word not in {"*", "**"}):
            raise Misuse(
                f"{whose}: {text!r} is no name and no pattern",
                hint=f"{_HINT}; `*` is one whole word, `**` any number of them",
            )


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern stands for the name."""
    return _match(pattern.split("."), name.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, *rest = pattern
    if first == "**":
        return any(_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in {"*", words[0]} and _match(rest, words[1:])
