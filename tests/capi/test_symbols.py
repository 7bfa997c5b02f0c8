"""What the wheel has for C programs: a header that compiles, two libraries with its functions."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from tests.capi.interface import HEADER, declarations, ffi, lib
from tests.capi.programs import STRICT, compiler

FUNCTIONS = sorted(set(re.findall(r"\b(penstock_\w+)\(", declarations())))
LIBRARIES = {"extension": penstock.extension_path(), "library": penstock.library_path()}
libraries = pytest.mark.parametrize("path", LIBRARIES.values(), ids=LIBRARIES.keys())


def exported(path: str) -> set[str]:
    """What a shared object defines for others."""
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True
    )
    return {line.split()[-1] for line in listing.stdout.splitlines()}


def needed(path: str) -> set[str]:
    """The undefined symbols of a shared object."""
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", path], check=True, capture_output=True, text=True
    )
    return {line.split()[-1] for line in listing.stdout.splitlines()}


def test_the_header_declares_what_it_should():
    assert len(FUNCTIONS) == 21
    assert "penstock_commit_many" in FUNCTIONS


@libraries
def test_every_function_of_the_header_is_found(path: str):
    library = ctypes.CDLL(path)
    for name in FUNCTIONS:
        assert getattr(library, name), name  # raises AttributeError where there is none


@libraries
def test_nothing_is_exported_that_the_header_does_not_have(path: str):
    own = {name for name in exported(path) if not name.startswith("PyInit")}
    assert own == set(FUNCTIONS)


def test_the_library_needs_no_python():
    assert not [name for name in needed(penstock.library_path()) if name.lstrip("_")[:2] == "Py"]
    assert [name for name in needed(penstock.extension_path()) if name.startswith("Py")]


def test_the_files_are_those_of_the_wheel():
    for path in (*LIBRARIES.values(), str(HEADER)):
        assert "site-packages" in path
        assert Path(path).is_file()


def test_the_paths_are_printed_without_loading_anything_heavy():
    code = (
        "import penstock, sys; print(penstock.include_dir()); print(penstock.library_path()); "
        "sys.exit('asyncio' in sys.modules or 'numpy' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [penstock.include_dir(), penstock.library_path()]


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_the_header_compiles_as_c(standard: str, tmp_path: Path):
    source = tmp_path / "alone.c"
    source.write_text(
        "#include <penstock.h>\n#include <penstock.h>\nint main(void) { return 0; }\n"
    )
    flags = [f"-std={standard}", *STRICT, f"-I{penstock.include_dir()}"]
    subprocess.run([*compiler(), *flags, "-fsyntax-only", str(source)], check=True)


@pytest.mark.skipif(
    shutil.which(compiler("CXX", "c++")[0]) is None, reason="no C++ compiler; CXX names one"
)
@pytest.mark.parametrize("standard", ["c++98", "c++11", "c++20"])
def test_the_header_compiles_as_cpp(standard: str, tmp_path: Path):
    source = tmp_path / "alone.cpp"
    calls = ";\n    ".join(f"used(reinterpret_cast<function>(&{name}))" for name in FUNCTIONS)
    source.write_text(
        "#include <penstock.h>\ntypedef void (*function)();\nstatic void used(function) {}\n"
        f"int main() {{\n    {calls};\n    return penstock_abi() == PENSTOCK_ABI ? 0 : 1;\n}}\n"
    )
    library = penstock.library_path()
    program = tmp_path / "alone"
    flags = [f"-std={standard}", *STRICT, f"-I{penstock.include_dir()}"]
    linked = [str(source), library, f"-Wl,-rpath,{Path(library).parent}", "-o", str(program)]
    subprocess.run([*compiler("CXX", "c++"), *flags, *linked], check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


def test_versions():
    assert lib.penstock_abi() == int(
        re.search(r"#define PENSTOCK_ABI (\d+)", HEADER.read_text(encoding="utf-8")).group(1)
    )
    assert ffi.string(lib.penstock_version()).decode() == penstock.__version__
    assert lib.penstock_layout() >= 1
