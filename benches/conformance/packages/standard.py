"""What Python and anyio bring along."""

from __future__ import annotations

import asyncio

from ..adapter import Adapter


class AsyncioTimeout(Adapter):
    name, module = "asyncio.timeout, Semaphore", "asyncio"

    def timeout(self, seconds):
        def wrap(fn):
            async def call():
                async with asyncio.timeout(seconds):
                    return await fn()

            return call

        return wrap

    def bulkhead(self, limit):
        room = asyncio.Semaphore(limit)

        def wrap(fn):
            async def call():
                async with room:
                    return await fn()

            return call

        return wrap


class WaitFor(Adapter):
    name, module = "asyncio.wait_for", "asyncio"

    def timeout(self, seconds):
        def wrap(fn):
            async def call():
                return await asyncio.wait_for(fn(), seconds)

            return call

        return wrap


class Anyio(Adapter):
    name = "anyio.fail_after, CapacityLimiter"
    distribution = module = "anyio"

    def timeout(self, seconds):
        import anyio

        def wrap(fn):
            async def call():
                with anyio.fail_after(seconds):
                    return await fn()

            return call

        return wrap

    def bulkhead(self, limit):
        import anyio

        room = anyio.CapacityLimiter(limit)

        def wrap(fn):
            async def call():
                async with room:
                    return await fn()

            return call

        return wrap


ADAPTERS = [AsyncioTimeout(), WaitFor(), Anyio()]
