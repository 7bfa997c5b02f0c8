"""Rows that should be there against rows that are: one for each key, and equal."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ("differences",)

Key = TypeVar("Key", bound=Hashable)


def differences(
    what: str,
    columns: Sequence[str],
    expected: Mapping[Key, Sequence[Any]],
    found: Iterable[tuple[Key, Sequence[Any]]],
    name: Callable[[Key], str] = str,
) -> Iterator[str]:
    """A sentence for each row that is missing, doubled, not expected or not as expected.

    Rows are called `what` and hold `columns` in order; `name(key)` begins the sentence.
    """
    seen: set[Key] = set()
    for key, values in found:
        if key not in expected:
            yield f"{name(key)}: {what}: expected none, found {_told(columns, values)}"
        elif key in seen:
            yield f"{name(key)}: {what}: expected one, found another: {_told(columns, values)}"
        else:
            seen.add(key)
            wrong = [n for n, value in enumerate(expected[key]) if value != values[n]]
            if wrong:
                names = [columns[n] for n in wrong]
                yield (
                    f"{name(key)}: {what}: "
                    f"expected {_told(names, [expected[key][n] for n in wrong])}, "
                    f"found {_told(names, [values[n] for n in wrong])}"
                )
    for key, values in expected.items():
        if key not in seen:
            yield f"{name(key)}: {what}: expected {_told(columns, values)}, found none"


def _told(columns: Sequence[str], values: Sequence[Any]) -> str:
    return " ".join(f"{column} {value!r}" for column, value in zip(columns, values, strict=True))
