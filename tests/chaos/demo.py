"""The whole demo killed at given and at random moments; the ledger check decides.

Its expectations come from the flights alone, so a run that balances has the outcomes of one that
nobody killed. The first seeds are the shares that matter most, the fifth kills the process that
takes over, too; the others draw one to three kills.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penstock.demo.memory import descendants

_GIVEN = {1: (0.05,), 2: (0.3,), 3: (0.6,), 4: (0.95,), 5: (0.3, 0.31)}


def run(seed: int, seconds: float) -> int:
    """Run demos until the time is up, one at least; the cases that were settled."""
    end = time.monotonic() + seconds
    cases = 0
    rng = random.Random(seed)
    shares = _GIVEN.get(seed) or _drawn(rng)
    while True:
        cases += _demo(shares)
        if time.monotonic() >= end:
            return cases
        shares = _drawn(rng)


def _drawn(rng: random.Random) -> tuple[float, ...]:
    return tuple(sorted(round(rng.uniform(0.01, 0.99), 4) for _ in range(rng.choice((1, 1, 2, 3)))))


def _demo(shares: tuple[float, ...]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "tmp"
        temporary.mkdir()
        kills = [text for share in shares for text in ("--kill-after", str(share))]
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "demo", "--quiet", "--json", *kills],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            check=False,
        )
        what = f"killed after {shares}: {done.stderr}"
        assert done.returncode == 0, what
        found = json.loads(done.stdout)["rebookings"]
        assert found["check"]["is_balanced"], what
        assert found["parked"] == 0, what
        assert found["confirmed"], what
        assert found["refused"], what
        assert not list(temporary.iterdir()), what
        assert not list(descendants(os.getpid())), what
        cases = found["confirmed"] + found["refused"]
        line = f"killed after {shares}: {found['confirmed']} confirmed, {found['refused']} refused"
        sys.stderr.write(f"{line}, {found['taken_over']} taken over, balanced\n")
        return int(cases)
