"""`import penstock` is light, and every public name is real (that they are sorted, ruff sees)."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import penstock

HEAVY = {
    "anyio",
    "asyncio",
    "concurrent",
    "ctypes",
    "http",
    "httpx",
    "logging",
    "msgspec",
    "multiprocessing",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "trio",
    "uvloop",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after `statement` and had not before."""
    code = f"""
import sys, json
before = set(sys.modules)
{statement}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""
    output = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_import_penstock_loads_the_extension_and_no_room():
    loaded = loaded_by("import penstock")
    assert "penstock" in loaded
    assert loaded & HEAVY == set()


def test_the_probe_would_see_a_heavy_module():
    assert "asyncio" in loaded_by("import penstock, asyncio")


def test_the_rooms_wait_for_their_first_use():
    code = "import sys, penstock; print(sorted(n for n in sys.modules if n.startswith('penstock')))"
    output = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "['penstock', 'penstock._native']"


def test_starting_the_command_loads_no_drawing_and_no_room():
    loaded = loaded_by("import penstock.cli")
    assert loaded & {"anyio", "asyncio", "numpy", "rich", "trio"} == set()


def rooms() -> list[str]:
    found = pkgutil.iter_modules(penstock.__path__, "penstock.")
    return [
        module.name for module in found if not module.name.removeprefix("penstock.").startswith("_")
    ]


def below(name: str) -> list[str]:
    module = importlib.import_module(name)
    path = getattr(module, "__path__", None)
    if path is None:
        return [name]
    found = pkgutil.walk_packages(path, f"{name}.")
    return [name, *(part.name for part in found if "__main__" not in part.name)]


def check_names(module: ModuleType) -> None:
    names = module.__all__
    assert isinstance(names, tuple), f"{module.__name__}.__all__ is a {type(names).__name__}"
    assert len(set(names)) == len(names), f"{module.__name__}.__all__ repeats a name"
    for name in names:
        getattr(module, name)  # raises AttributeError with the module's name and this one


def test_names_of_penstock():
    check_names(penstock)
    assert set(penstock.__all__) <= set(dir(penstock))


@pytest.mark.parametrize("room", rooms())
def test_names_of_a_room(room: str):
    check_names(importlib.import_module(room))
    for name in below(room):
        module = importlib.import_module(name)
        if hasattr(module, "__all__"):
            check_names(module)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'penstock' has no attribute 'Pipe'"):
        _ = penstock.Pipe


def test_the_extension_says_how_it_was_built():
    assert penstock._native.build_profile == "release", "make test builds a release wheel"
    assert "site-packages" in penstock._native.__file__, "tests run against the installed wheel"
