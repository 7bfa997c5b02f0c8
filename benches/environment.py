"""Where a run took place: machine, interpreter, packages, commit; and what refuses to be timed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from benches.refusal import Refusal

ROOT = Path(__file__).resolve().parent.parent


def require_release_build() -> None:
    """Refuse a debug build, and one that is not the installed wheel.

    A debug library left in the source tree is imported first and is some twenty times slower; a
    figure taken from it looks like a result.
    """
    import penstock
    from penstock import _native

    if _native.build_profile != "release":
        raise Refusal(
            "refusing to time a build of penstock that is not a release build: "
            f"penstock._native.build_profile is {_native.build_profile!r}",
            hint="`make bench` builds and installs the release wheel first",
        )
    home = Path(penstock.__file__).resolve()
    if home.is_relative_to(ROOT / "python"):
        raise Refusal(
            f"refusing to time the source tree: penstock was imported from {home.parent}",
            hint="install the wheel and take `python/` off PYTHONPATH; `make bench` does both",
        )


def require_packages(names: Iterable[str]) -> dict[str, str]:
    """The versions of these distributions; all must be there."""
    versions: dict[str, str] = {}
    missing: list[str] = []
    for name in sorted(set(names)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise Refusal(
            f"not installed: {', '.join(missing)}",
            hint="pip install --no-deps --require-hashes -r requirements/bench.txt",
        )
    return versions


def describe() -> dict[str, Any]:
    """What has to be the same for two runs to be comparable."""
    from penstock import __version__, _native

    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}"
        + (", free-threaded" if is_without_gil() else ""),
        "python_build": _build(),
        "switch_interval": sys.getswitchinterval(),
        "penstock": __version__,
        "build_profile": _native.build_profile,
    }


def is_without_gil() -> bool:
    """Whether threads run at once: a module that is not made for it brings the lock back."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def commit() -> tuple[str, bool]:
    """The tree's commit, and whether anything but results was changed since."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown", True
    changed = _git("status", "--porcelain", "--", ".", ":!benches/runs", ":!benches/RESULTS.md")
    return head, changed != ""


def busy() -> str | None:
    """A sentence if others use the machine: figures taken then are not worth storing."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load <= 0.25 * cores:
        return None
    return f"the load is {load:.1f} on {cores} cores before the first lap; wait until it is quiet"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _build() -> str:
    """How hard the interpreter was optimised: a queue written in C gains by that, too."""
    levels = re.findall(r"-O\S+", sysconfig.get_config_var("OPT") or "")
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    also = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}
    return ", ".join([*levels[-1:], *(name for flag, name in also.items() if flag in configured)])


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
