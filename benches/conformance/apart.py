"""`python -m benches.conformance.apart PACKAGE PROBE`: one probe in this process, as JSON."""

from __future__ import annotations

import json
import os
import sys
import warnings

from .adapter import Missing
from .packages import named
from .probe import all_probes


def main(arguments: list[str]) -> int:
    package, name = arguments
    warnings.simplefilter("ignore")  # theirs, about themselves
    adapter = named(package)
    (probe,) = [each for each in all_probes() if each.name == name]
    answer: dict[str, object]
    try:
        seen = probe.run(adapter)
        answer = {"is_right": seen.is_right, "words": seen.words}
    except Missing as missing:
        answer = {"is_right": None, "words": str(missing)}
    print(json.dumps(answer), flush=True)
    # Threads and tasks that a package has left behind are not waited for.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
