"""The interpreter, and whether the extension that was loaded is the one that belongs to it."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib import metadata

import penstock
from penstock import _native

from .check import Check, Probe, fail, ok, warn

_REINSTALL = "pip install --force-reinstall penstock (in the source tree: make wheel)"


def interpreter() -> Check:
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return ok("interpreter", f"{name}, {sys.executable}")


def gil() -> Check:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return ok("GIL", "on; native code lets go of it while it waits or computes")
    if sys._is_gil_enabled():  # type: ignore[attr-defined]  # noqa: SLF001 -- there is no other
        return warn("GIL", "switched on again by an extension", "PYTHON_GIL=0 keeps it off")
    return ok("GIL", "off: a free-threaded build")


def extension() -> Check:
    seen = f"{_native.build_profile} build, {_native.__file__}"
    if _native.build_profile != "release":
        return warn("extension", f"{seen}: 17 to 28 times slower", _REINSTALL)
    return ok("extension", seen)


def wheel() -> Check:
    try:
        distribution = metadata.distribution("penstock")
    except metadata.PackageNotFoundError:
        return warn("wheel", "imported from a folder, not installed", _REINSTALL)
    if distribution.version != penstock.__version__:
        seen = f"{distribution.version} installed, but {penstock.__version__} was loaded"
        return fail("wheel", seen, _REINSTALL)
    text = distribution.read_text("WHEEL") or ""
    tags = [line.removeprefix("Tag: ") for line in text.splitlines() if line.startswith("Tag: ")]
    seen = f"{distribution.version} {' '.join(tags) or 'without a tag'}"
    wanted = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if not any(tag.split("-", 1)[0] == wanted or "-abi3-" in tag for tag in tags):
        return warn("wheel", f"{seen}, for another Python than {wanted}", _REINSTALL)
    return ok("wheel", seen)


PROBES: tuple[Probe, ...] = (interpreter, gil, extension, wheel)
