"""Which arguments of a C callback are copied, as they are good during the call only."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from penstock.errors import Misuse

from .c_signature import Signature
from .c_types import Kind, size_of

__all__ = ("Copies", "answer", "described")

Copies = Mapping[int | str, int | str | None]
r"""Pointer → the parameter that counts what it leads to, "\0" for text, None for neither."""


def described(signature: Signature, copy: Copies | None) -> list[Kind]:
    """The kinds of all arguments, with what is to be copied."""
    kinds: list[Kind] = [
        ("text", 0, 0) if parameter.is_text else parameter.kind
        for parameter in signature.parameters
    ]
    for which, length in (copy or {}).items():
        index = signature.index(which, "copy=")
        pointer = signature.parameters[index]
        if pointer.points_to is None:
            raise Misuse(
                f"copy=: parameter {which!r} of {signature.text} is no pointer",
                hint="a scalar is always copied",
            )
        if length is None:
            kinds[index] = pointer.kind
        elif length == "\0":
            kinds[index] = "text", 0, 0
        else:
            kinds[index] = _counted(signature, index, length)
    return kinds


def _counted(signature: Signature, index: int, length: int | str) -> Kind:
    counter = signature.index(length, "copy=")
    if signature.parameters[counter].kind[0] not in {"signed", "unsigned"}:
        raise Misuse(
            f"copy=: parameter {length!r} of {signature.text} is no number of units",
            hint='name the integer parameter that says it, or "\\0" for text that ends with a zero',
        )
    points_to = signature.parameters[index].points_to or ""
    unit = size_of(points_to)
    if unit is None:
        raise Misuse(
            f"copy=: how large one {points_to or 'item'!r} is, is not known",
            hint="declare the parameter as `void *`, and the length as a number of bytes",
        )
    return "bytes", counter, unit


def answer(signature: Signature, value: float | None, what: str) -> int:
    """What the caller finds in its result's register."""
    kind = signature.result.kind
    if kind is None:
        if value is not None:
            raise Misuse(
                f"{what}={value!r}: {signature.text} answers nothing", hint=f"leave {what} out"
            )
        return 0
    name, bits, _ = kind
    value = 0 if value is None else value
    try:
        if name == "double":
            return int.from_bytes(struct.pack("<d", value), "little")
        if name == "float":
            return int.from_bytes(struct.pack("<f", value), "little")
    except (struct.error, OverflowError, TypeError):
        raise Misuse(f"{what}={value!r} is no {signature.result.declared}") from None
    bits = {"pointer": 64, "bool": 1}.get(name, bits)
    low, high = (-(1 << bits - 1), 1 << bits - 1) if name == "signed" else (0, 1 << bits)
    if not isinstance(value, int) or not low <= value < high:
        raise Misuse(
            f"{what}={value!r} is no {signature.result.declared}",
            hint=f"give a whole number from {low} to {high - 1}",
        )
    return value & 0xFFFF_FFFF_FFFF_FFFF
