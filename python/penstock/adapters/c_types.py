"""What the types of a C callback's arguments are, on 64-bit Linux."""

from __future__ import annotations

import platform
from dataclasses import dataclass

__all__ = ("Kind", "Parameter", "Result", "is_reserved", "kind_of", "normalised", "size_of")

Kind = tuple[str, int, int]
"""What the core is told of an argument: its name there, and two numbers that belong to it."""

_PLAIN_CHAR_IS_SIGNED = platform.machine() not in {"aarch64", "arm64"}

_SIGNED = {
    "signed char": 8,
    "short": 16,
    "int": 32,
    "long": 64,
    "long long": 64,
    "int8_t": 8,
    "int16_t": 16,
    "int32_t": 32,
    "int64_t": 64,
    "intptr_t": 64,
    "intmax_t": 64,
    "ptrdiff_t": 64,
    "ssize_t": 64,
    "off_t": 64,
    "time_t": 64,
    "pid_t": 32,
}
_UNSIGNED = {
    "unsigned char": 8,
    "unsigned short": 16,
    "unsigned int": 32,
    "unsigned long": 64,
    "unsigned long long": 64,
    "uint8_t": 8,
    "uint16_t": 16,
    "uint32_t": 32,
    "uint64_t": 64,
    "uintptr_t": 64,
    "uintmax_t": 64,
    "size_t": 64,
    "mode_t": 32,
    "uid_t": 32,
    "gid_t": 32,
    "socklen_t": 32,
}
(_SIGNED if _PLAIN_CHAR_IS_SIGNED else _UNSIGNED)["char"] = 8
_OTHERS: dict[str, Kind] = {
    "bool": ("bool", 8, 0),
    "_Bool": ("bool", 8, 0),
    "float": ("float", 32, 0),
    "double": ("double", 64, 0),
}

_WORDS = {"signed", "unsigned", "char", "short", "int", "long"}
_KEYWORDS = {
    "alignas",
    "alignof",
    "asm",
    "auto",
    "break",
    "case",
    "complex",
    "const",
    "constexpr",
    "continue",
    "default",
    "do",
    "else",
    "enum",
    "extern",
    "false",
    "for",
    "goto",
    "if",
    "imaginary",
    "inline",
    "nullptr",
    "register",
    "restrict",
    "return",
    "sizeof",
    "static",
    "static_assert",
    "struct",
    "switch",
    "thread_local",
    "true",
    "typedef",
    "typeof",
    "typeof_unqual",
    "union",
    "void",
    "volatile",
    "while",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a callback, as it was declared."""

    declared: str
    kind: Kind
    name: str | None = None
    points_to: str | None = None
    """What a pointer leads to, if it is one: a type's name, or "" for what is not known."""
    is_text: bool = False
    """Declared as a pointer to constant characters."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a callback answers; `kind` is None for nothing."""

    declared: str
    kind: Kind | None


def normalised(words: list[str]) -> str:
    """The usual name of a type that C lets one write in many ways: "long unsigned" and the like."""
    if not words or not _WORDS.issuperset(words) or _contradict(words):
        return " ".join(words)
    sign = "unsigned " if "unsigned" in words else ""
    if "char" in words:
        return sign + "char" if sign or "signed" not in words else "signed char"
    if "short" in words:
        return sign + "short"
    return sign + {0: "int", 1: "long"}.get(words.count("long"), "long long")


def _contradict(words: list[str]) -> bool:
    """Whether C has no such type: "long char", "signed unsigned" and the like."""
    times = {word: words.count(word) for word in words}
    sizes = {"char", "short", "long"} & times.keys()
    return (
        len(sizes) > 1
        or {"signed", "unsigned"} <= times.keys()
        or {"char", "int"} <= times.keys()
        or any(count > (2 if word == "long" else 1) for word, count in times.items())
    )


def is_reserved(word: str) -> bool:
    """Whether C, or a compiler, means something else by it than the name of a parameter."""
    return (
        word in _KEYWORDS
        or word in _WORDS
        or kind_of(word) is not None
        or word.startswith("__")
        or (word[:1] == "_" and word[1:2].isupper())
    )


def kind_of(name: str) -> Kind | None:
    """What is passed for a type that is no pointer; None if it is not known."""
    if name in _SIGNED:
        return "signed", _SIGNED[name], 0
    if name in _UNSIGNED:
        return "unsigned", _UNSIGNED[name], 0
    if name.startswith("enum "):
        return "signed", 32, 0
    return _OTHERS.get(name)


def size_of(name: str) -> int | None:
    """How many bytes one of what a pointer leads to has; None if it is not known."""
    if name.endswith("*"):
        return 8
    if name == "void":
        return 1
    kind = kind_of(name)
    return None if kind is None else kind[1] // 8
