"""What is asked of cffi, where it is installed: the type of a C function, and a pointer to one."""

from __future__ import annotations

import importlib
from typing import Any

from penstock.errors import Misuse

__all__ = ("cast", "function_type", "read_type")


def cast(ctype: Any, address: int) -> Any:
    """The address as a pointer of that type."""
    return importlib.import_module("_cffi_backend").cast(ctype, address)


def function_type(fn: object) -> Any:
    """The type of `fn`, if it is a function of cffi's."""
    try:
        backend = importlib.import_module("_cffi_backend")
    except ModuleNotFoundError:
        return None
    try:
        ctype = backend.FFI().typeof(fn)
    except TypeError:
        return None
    return ctype if ctype.kind == "function" else None


def read_type(ffi: Any, text: str, name: str) -> Any:
    """The type that `text` declares, to that `FFI` object or to any."""
    try:
        cffi = importlib.import_module("cffi")
    except ModuleNotFoundError:
        hint = "pip install cffi, or hand `pointer` to whoever takes an address"
        raise Misuse(f"{name}: cdata() needs cffi", hint=hint) from None
    try:
        return (cffi.FFI() if ffi is None else ffi).typeof(text)
    except Exception as error:
        raise Misuse(
            f"{name}: cffi cannot read {text!r}: {error}",
            hint="give the library's own FFI object: cdata(ffi)",
        ) from error
