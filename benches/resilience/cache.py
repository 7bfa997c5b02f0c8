"""What an answer from memory costs, where callers who miss at once would share one load."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from benches.case import Case, Target, cost
from benches.resilience.calls import all_answered, awaited, bare, contender, remembers

TTL = 600.0


def penstock(fn: Any) -> Any:
    from penstock import Cache, Policy

    return Policy("bench", Cache(TTL))(fn)


def cachetools(fn: Any) -> Any:
    """By hand, as it has no async form: whoever misses loads under a lock and looks once more."""
    from cachetools import TTLCache
    from cachetools.keys import hashkey

    cache: Any = TTLCache(1024, TTL)
    lock = asyncio.Lock()

    async def call(*args: Any) -> Any:
        key = hashkey(*args)
        try:
            return cache[key]
        except KeyError:
            pass
        async with lock:
            try:
                return cache[key]
            except KeyError:
                cache[key] = value = await fn(*args)
                return value

    return call


def aiocache(fn: Any) -> Any:
    from aiocache import SimpleMemoryCache, cached_stampede

    # The cache is the class's: each function needs names of its own in it.
    return cached_stampede(ttl=TTL, cache=SimpleMemoryCache, namespace=str(id(fn)))(fn)


def cashews(fn: Any) -> Any:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")
    return cache(ttl=TTL, key=f"bench:{id(fn)}")(fn)


made = partial(contender, awaited, remembers)

CASES = (
    Case(
        room="resilience",
        name="cache-hit",
        question="What does an answer cost that is remembered?",
        contenders=[
            made("penstock", f"`Cache({TTL})`", penstock),
            made("cachetools", "`TTLCache`, by hand, an `asyncio.Lock` for who misses", cachetools),
            made("aiocache", "`cached_stampede` with `SimpleMemoryCache`", aiocache),
            made("cashews", "`mem://`; shares loads by default", cashews),
            bare(awaited),
        ],
        is_right=all_answered,
        figures=[cost()],
        targets=[Target(0.8e-6), Target(1, "cachetools"), Target(15, "aiocache")],
    ),
)
