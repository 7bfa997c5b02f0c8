"""Those that are caches and nothing else."""

from __future__ import annotations

from ..adapter import Adapter


class Aiocache(Adapter):
    distribution = module = "aiocache"
    note = "cached_stampede, its form for one load; cached promises none"

    def cache(self):
        from aiocache import cached_stampede

        # Of the second, which is how long others wait for the load.
        return cached_stampede(lease=60, ttl=60, key="asked")


class Cashews(Adapter):
    distribution = module = "cashews"

    def cache(self):
        from cashews import Cache

        cache = Cache()
        cache.setup("mem://")
        return cache(ttl="60s", key="asked")


class AsyncLru(Adapter):
    distribution, module = "async-lru", "async_lru"

    def cache(self):
        from async_lru import alru_cache

        return alru_cache(maxsize=16, ttl=60)


ADAPTERS = [Aiocache(), Cashews(), AsyncLru()]
