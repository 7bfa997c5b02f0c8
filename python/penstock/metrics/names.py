"""What instruments and labels may be called: what both OpenTelemetry and Prometheus can carry."""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock.errors import Misuse

# OpenTelemetry's syntax for instruments, with Prometheus' colon and leading underscore.
_INSTRUMENT = re.compile(r"[A-Za-z_:][A-Za-z0-9_:./-]{0,254}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,254}")

# Prometheus writes bucket bounds and quantiles into labels of these names.
_TAKEN = frozenset({"le", "quantile"})


def checked_name(name: object) -> str:
    """`name`, or `Misuse` that says what a name looks like."""
    if not isinstance(name, str) or _INSTRUMENT.fullmatch(name) is None:
        raise Misuse(
            f"metrics: {name!r} is not a valid instrument name",
            hint="a letter, then letters, digits or _ : . / - up to 255; varying parts are labels",
        )
    return name


def checked_labels(name: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The label names of instrument `name` as a tuple, or `Misuse`."""
    if isinstance(labels, str):
        raise Misuse(
            f"metrics: labels of {name!r} are a tuple of names, got the string {labels!r}",
            hint=f"write labels=({labels!r},)",
        )
    checked = tuple(labels)
    for label in checked:
        if not isinstance(label, str) or _LABEL.fullmatch(label) is None:
            raise Misuse(
                f"metrics: {label!r} is not a valid label name for {name!r}",
                hint="a letter, then letters, digits, _ or .",
            )
        if label in _TAKEN or label.startswith("__"):
            raise Misuse(
                f"metrics: the label {label!r} of {name!r} is reserved",
                hint="Prometheus uses le, quantile and names that begin with __ itself",
            )
    if len(set(checked)) != len(checked):
        raise Misuse(
            f"metrics: labels of {name!r} name one twice: {checked!r}", hint="each name once"
        )
    return checked
