"""Runs a room's chaos slice by slice, from seed to seed, and keeps count over all runs.

A room's module, `tests/chaos/<room>.py`, has `run(seed, seconds) -> operations done`, which raises
AssertionError on a violation; a room whose processes live and die in rounds returns `Done`, which
tells of those as well. A slice that failed counts for nothing, and the next run begins at
its seed again, so a violation cannot be walked past.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

SLICE_SECONDS = 10.0


class Done(NamedTuple):
    """What a slice has done."""

    operations: int
    rounds: int = 0


Run = Callable[[int, float], int | Done]


@dataclass
class Count:
    """What a room has stood so far, and the seed it goes on from."""

    operations: int = 0
    rounds: int = 0
    seconds: float = 0.0
    next_seed: int = 1

    def stored(self) -> dict[str, float]:
        """As it stands in the file; rounds only of a room that has them."""
        return {name: value for name, value in asdict(self).items() if name != "rounds" or value}


class Counts:
    """The counts of all rooms, kept in one file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._rooms = {room: Count(**fields) for room, fields in stored.items()}

    def __getitem__(self, room: str) -> Count:
        return self._rooms.setdefault(room, Count())

    def save(self) -> None:
        rooms = {room: self._rooms[room].stored() for room in sorted(self._rooms)}
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(rooms, indent=2) + "\n", encoding="utf-8")
        new.replace(self._path)


class Violation(Exception):
    """A slice found what must not be."""

    def __init__(self, room: str, seed: int) -> None:
        super().__init__(f"{room}: seed {seed} broke a guarantee")
        self.room = room
        self.seed = seed


def go_on(
    room: str,
    run: Run,
    counts: Counts,
    *,
    seconds: float,
    seed: int | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Run slices until `seconds` have passed; returns the operations done by this call.

    `seed` replays from there and leaves the stored seed where it is, unless it goes beyond it.
    """
    count = counts[room]
    seed = count.next_seed if seed is None else seed
    done = 0
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        started = time.monotonic()
        try:
            answer = run(seed, min(SLICE_SECONDS, left))
        except AssertionError as error:
            raise Violation(room, seed) from error
        operations, rounds = answer if isinstance(answer, Done) else Done(answer)
        done += operations
        count.operations += operations
        count.rounds += rounds
        count.seconds = round(count.seconds + time.monotonic() - started, 1)
        seed += 1
        count.next_seed = max(count.next_seed, seed)
        counts.save()
        so_far = f"{operations:,} operations; {count.operations:,} in all"
        if count.rounds:
            so_far += f", in {count.rounds:,} rounds"
        say(f"{room}: seed {seed - 1}, {so_far}")
    return done
