"""Values as a message may show them: never longer than a bound, whatever they are."""

from __future__ import annotations

__all__ = ("bounded",)


def bounded(value: object, most: int = 200) -> str:
    """The `repr`, cut off after so many characters; what has none is told by its class."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else text[: most - 1] + "…"
