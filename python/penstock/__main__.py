"""`python -m penstock` is the command `penstock`."""

from __future__ import annotations

import sys

try:
    from penstock.cli import main
except KeyboardInterrupt:  # too early for anybody to say which command it was
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
