"""One worker process of a service in a chain: `python -m tests.resilience.storm NAME RATIO PORT …`.

It answers a call by calling the next service, three attempts in all, and says "down" if none of
them was answered. All workers of a service share its retry budget.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from penstock import Policy, Retry
from penstock.resilience import Budget

__all__ = ("Down", "ask")


class Down(Exception):
    """The other side says that what it needs is down."""


async def ask(port: int) -> None:
    """One call of whoever listens there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if await reader.readline() != b"ok\n":
            raise Down
    finally:
        writer.close()
        await writer.wait_closed()


async def serve(name: str, ratio: str, ports: list[int]) -> None:
    budget = None
    if ratio != "none":
        budget = Budget(float(ratio), min_per_second=0.0, window=60.0, scope="machine")
    policy = Policy(name, Retry(attempts=3, delay=0.0, budget=budget))
    turns = itertools.cycle(ports)

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await policy.run(ask, next(turns))
            writer.write(b"ok\n")
        except Down:
            writer.write(b"down\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    # Until whoever started it goes away.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    _, service, share, *following = sys.argv
    asyncio.run(serve(service, share, [int(port) for port in following]))
