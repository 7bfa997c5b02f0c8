"""The declaration of a C callback, read from text or from a cffi type."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

from penstock.errors import Misuse

from .c_types import Kind, Parameter, Result, is_reserved, kind_of, normalised

__all__ = ("Signature", "parse", "signature_of")

_QUALIFIERS = {"const", "volatile", "restrict", "__restrict", "register"}
_TOKEN = re.compile(r"\s*(?:(\.\.\.)|([A-Za-z_]\w*)|(\*)|(\[[^\]]*\])|(.))")
_WHOLE = re.compile(
    r"^(?P<result>[^()]*?)\s*(?:\(\s*\*\s*\w*\s*\))?\s*\((?P<parameters>.*)\)\s*;?$"
)

_HINT = (
    'write it as C does, "void(int status, const char *text, void *user)", or give the type that '
    'cffi knows: ffi.typeof("name_of_the_typedef")'
)


@dataclass(frozen=True, slots=True)
class Signature:
    """What is called back, with which arguments, and what it answers."""

    result: Result
    parameters: tuple[Parameter, ...]
    ctype: Any = None
    """The cffi type it was read from, if it was."""

    @property
    def text(self) -> str:
        """As cffi takes it, and people read it."""
        inner = ", ".join(parameter.declared for parameter in self.parameters)
        return f"{self.result.declared}(*)({inner or 'void'})"

    def index(self, which: int | str, what: str) -> int:
        """Which parameter is meant by its name or number."""
        names = [parameter.name for parameter in self.parameters]
        if isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(names):
            return which
        if isinstance(which, str) and which in names:
            return names.index(which)
        known = ", ".join(
            str(index) if name is None else f"{name!r} ({index})"
            for index, name in enumerate(names)
        )
        raise Misuse(
            f"{what}: {self.text} has no parameter {which!r}",
            hint=f"it has: {known or 'none'}",
        )


def signature_of(declaration: object) -> Signature:
    """Reads a declaration, whichever way it is given; Misuse for what cannot be read."""
    if isinstance(declaration, str):
        return parse(declaration)
    if type(declaration).__module__ == "_cffi_backend" and hasattr(declaration, "kind"):
        return _of_ctype(declaration)
    raise Misuse(f"from_c_callback: {declaration!r} is no declaration of a C callback", hint=_HINT)


def parse(text: str) -> Signature:
    """Reads `result(parameters)`, or a pointer to that."""
    found = _WHOLE.match(text.strip())
    if found is None:
        raise Misuse(f"from_c_callback: {text!r} is no function's declaration", hint=_HINT)
    pieces = [piece.strip() for piece in _split(found["parameters"], text)]
    if pieces in ([""], ["void"]):
        pieces = []
    parameters = tuple(_parameter(piece, text) for piece in pieces)
    names = [parameter.name for parameter in parameters if parameter.name is not None]
    if len(set(names)) < len(names):
        raise Misuse(f"from_c_callback: two parameters of {text!r} have the same name")
    return Signature(_result(found["result"], text), parameters)


def _split(inner: str, text: str) -> list[str]:
    if "(" in inner:
        raise Misuse(
            f"from_c_callback: {text!r} has a parameter that is itself a function",
            hint="declare it as `void *`: what arrives is its address",
        )
    return inner.split(",")


def _result(declared: str, text: str) -> Result:
    parameter = _parameter(declared, text, is_result=True)
    return Result(parameter.declared, None if parameter.kind[0] == "void" else parameter.kind)


def _parameter(piece: str, text: str, *, is_result: bool = False) -> Parameter:
    words: list[str] = []
    stars = 0
    is_const = False
    name: str | None = None
    for dots, word, star, brackets, other in _TOKEN.findall(piece.strip()):
        if dots:
            _refuse(text, "has a variable number of arguments")
        if other.strip():
            _refuse(text, f"has {other!r} in it")
        if star or brackets:
            stars += 1
        elif word in _QUALIFIERS:
            is_const = is_const or (word == "const" and stars == 0)
        elif word and (stars or _is_complete(words, word)):
            if name is not None or is_result:
                _refuse(text, f"cannot be understood at {word!r}")
            if is_reserved(word):
                _refuse_name(text, word)
            name = word
        elif word:
            words.append(word)
    base = normalised(words)
    if not base:
        _refuse(text, "lacks a parameter's type" if not is_result else "lacks the result's type")
    declared = ("const " if is_const else "") + base + (" " + "*" * stars if stars else "")
    if stars:
        points_to = base if stars == 1 else base + " " + "*" * (stars - 1)
        is_text = is_const and points_to == "char"
        return Parameter(declared, ("pointer", 0, 0), name, points_to, is_text)
    if is_result and base == "void":
        return Parameter(declared, ("void", 0, 0))
    kind = kind_of(base)
    if kind is None:
        _refuse_type(text, base)
    return Parameter(declared, kind, name)


def _is_complete(words: list[str], word: str) -> bool:
    """Whether `word` cannot belong to the type any more, and is the parameter's name."""
    if not words or words[-1] in {"struct", "enum", "union"}:
        return False
    known = {"signed", "unsigned", "char", "short", "int", "long", "double"}
    return not (words[-1] in known and word in known)


def _refuse(text: str, why: str) -> NoReturn:
    raise Misuse(f"from_c_callback: {text!r} {why}", hint=_HINT)


def _refuse_name(text: str, word: str) -> NoReturn:
    raise Misuse(
        f"from_c_callback: {text!r} has {word!r} where the parameter's name would be",
        hint="a type of more words than are known here cannot be taken in (complex numbers, "
        "__int128, _Atomic): let a few lines of C pass its address; a parameter needs no name",
    )


def _refuse_type(text: str, base: str) -> NoReturn:
    if base.startswith(("struct ", "union ")):
        hint = "only scalars and pointers can be taken in; let a few lines of C pass its address"
        raise Misuse(f"from_c_callback: {text!r} passes a {base} by value", hint=hint)
    raise Misuse(f"from_c_callback: {text!r} has the type {base!r}, which is not known", hint=_HINT)


# cffi


def _of_ctype(ctype: Any) -> Signature:
    function = ctype.item if ctype.kind == "pointer" else ctype
    if function.kind != "function":
        raise Misuse(f"from_c_callback: {ctype!r} is no function's type", hint=_HINT)
    if function.ellipsis:
        _refuse(ctype.cname, "has a variable number of arguments")
    if function.result.kind == "void":
        result = Result("void", None)
    else:
        answer = _of_scalar(function.result, ctype.cname)
        result = Result(answer.declared, answer.kind)
    parameters = tuple(_of_scalar(one, ctype.cname) for one in function.args)
    return Signature(result, parameters, ctype)


def _of_scalar(ctype: Any, text: str) -> Parameter:
    if ctype.kind in {"pointer", "array", "function"}:
        points_to = "" if ctype.kind == "function" else ctype.item.cname
        return Parameter(ctype.cname, ("pointer", 0, 0), None, points_to)
    if ctype.kind == "enum":
        return Parameter(ctype.cname, _of_enum(ctype.elements))
    base = normalised(ctype.cname.split())
    kind = kind_of(base)
    if kind is None:
        _refuse_type(text, base)
    return Parameter(ctype.cname, kind)


def _of_enum(values: Collection[int]) -> Kind:
    """The narrowest of 32 or 64 bits that holds all values, signed if one is: as compilers do."""
    lowest, highest = min(values, default=0), max(values, default=0)
    if lowest < 0:
        return "signed", 32 if lowest >= -(2**31) and highest < 2**31 else 64, 0
    return "unsigned", 32 if highest < 2**32 else 64, 0
