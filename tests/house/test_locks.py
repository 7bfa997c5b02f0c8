"""The locked requirements agree with each other where they are installed into one environment."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
# Of an interpreter of its own, for which not every version has a wheel.
APART = "free-threaded.txt"
# name==version, perhaps with a marker behind it
PIN = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^ ;\\]+)(?: ; [^\\]+)? \\$", re.MULTILINE
)


def pins(path: Path) -> list[re.Match[str]]:
    return list(PIN.finditer(path.read_text(encoding="utf-8")))


def test_one_version_of_a_package_everywhere():
    versions = defaultdict(lambda: defaultdict(set))
    for path in REQUIREMENTS.glob("*.txt"):
        if path.name == APART:
            continue
        for pin in pins(path):
            versions[pin["name"]][path.name].add(pin["version"])
    differing = {
        name: dict(files)
        for name, files in versions.items()
        if len({frozenset(found) for found in files.values()}) > 1
    }
    assert differing == {}


def test_every_pin_is_hashed_and_every_list_is_locked():
    for source in REQUIREMENTS.glob("*.in"):
        locked = source.with_suffix(".txt")
        text = locked.read_text(encoding="utf-8")
        heads = [line for line in text.splitlines() if "==" in line]
        assert len(heads) == len(pins(locked)) > 0, f"{locked.name}: a line that is no pin"
        parts = re.split(r"^(?=[a-z0-9].*==)", text, flags=re.MULTILINE)
        assert all("--hash=sha256:" in part for part in parts if "==" in part)
        for wanted in re.findall(
            r"^[a-z0-9][a-z0-9._-]*", source.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert wanted in {pin["name"] for pin in pins(locked)}, (
                f"{wanted} is not in {locked.name}"
            )
