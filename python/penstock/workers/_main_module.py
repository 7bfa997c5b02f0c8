"""How a worker comes to know the functions of the script that made the pool.

Such a function pickles as `__main__.name`, and a worker's `__main__` is another one. When a call
needs it, the script is loaded in the worker under the name `__mp_main__`, the way
`multiprocessing` does; so what the script must not do twice stands below
`if __name__ == "__main__":`. A pool that is not cannot be started while a worker loads the script:
its workers would load it again, and so on without end.
"""

from __future__ import annotations

import multiprocessing.spawn
from pathlib import Path

from penstock.errors import Misuse

Main = dict[str, str]
"""What `multiprocessing` calls init_main_from_name or init_main_from_path."""

_loading: list[Main] = []


def describe() -> Main:
    """How this process's `__main__` can be loaded by a worker; empty if it cannot."""
    data = multiprocessing.spawn.get_preparation_data("penstock")
    main = {key: str(value) for key, value in data.items() if key.startswith("init_main_from")}
    path = main.get("init_main_from_path")
    # A script from standard input has a path that leads nowhere.
    return main if path is None or Path(path).exists() else {}


def load(main: Main) -> None:
    """Make the pool's `__main__` this process's."""
    _loading.append(main)
    try:
        multiprocessing.spawn.prepare(dict(main))
    finally:
        _loading.pop()


def refuse_while_loading(pool: str) -> None:
    """Called before a pool is started."""
    if _loading:
        script = next(iter(_loading[-1].values()))
        raise Misuse(
            f"pool {pool!r} was started while a worker loads {script!r} to find a function in it",
            hint='put what starts the pool below `if __name__ == "__main__":`',
        )
