"""Strategies as one would write them in a hurry: what the conformance suite is for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from benches.conformance.adapter import Adapter

__all__ = ("Naive",)


class Refused(Exception):
    pass


class Naive(Adapter):
    """Each method has the faults that others have shipped, all of them at once."""

    name = module = "naive"
    refusals = (Refused,)

    def breaker(self, failures, open_for, *, on=None, blocking=False):
        judge = on or (lambda _error: True)
        count, until, lock, wedged = 0, 0.0, threading.Lock(), False

        def failed(error):
            nonlocal count, until, wedged
            wedged = on is not None  # until the filter has answered
            if judge(error):
                count += 1
                until = time.monotonic() + open_for
            wedged = False

        def admit():
            if wedged or (count >= failures and time.monotonic() < until):
                raise Refused

        def succeeded():
            nonlocal count
            count = 0

        def wrap(fn):
            async def call():
                admit()
                try:
                    value = await fn()
                except BaseException as error:
                    failed(error)
                    raise
                succeeded()
                return value

            def call_blocking():
                admit()
                if count < failures:
                    lock.acquire()
                try:
                    value = fn()
                except BaseException as error:
                    failed(error)
                    raise
                finally:
                    if lock.locked():
                        lock.release()
                succeeded()
                return value

            return call_blocking if blocking else call

        return wrap

    def retry(self, attempts, pause, *, widest=False, blocking=False, total=None):
        def wrap(fn):
            async def call():
                for _ in range(attempts):
                    try:
                        return await fn()
                    except BaseException:
                        pass
                    with contextlib.suppress(BaseException):
                        await asyncio.sleep(pause)
                return None

            def call_blocking():
                for _ in range(attempts):
                    try:
                        return fn()
                    except BaseException:
                        time.sleep(pause)
                return None

            return call_blocking if blocking else call

        return wrap

    def timeout(self, seconds):
        def wrap(fn):
            async def call():
                loop = asyncio.get_running_loop()
                task = asyncio.current_task()
                fired = False

                def fire():
                    nonlocal fired
                    fired = True
                    task.cancel()

                loop.call_later(seconds, fire)  # nobody ends it
                inner = loop.create_task(fn())
                try:
                    return await inner
                except asyncio.CancelledError:
                    if inner.done() and not inner.cancelled():
                        return inner.result()
                    if fired:
                        raise TimeoutError from None
                    raise

            return call

        return wrap

    def hedge(self, after):
        def wrap(fn):
            async def call():
                loop = asyncio.get_running_loop()
                first = loop.create_task(fn())
                await asyncio.wait({first}, timeout=after)
                second = loop.create_task(fn())
                done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()

            return call

        return wrap

    def cache(self):
        def wrap(fn):
            load = None

            async def call():
                nonlocal load
                if load is not None:
                    return await load
                load = asyncio.get_running_loop().create_future()
                task = asyncio.get_running_loop().create_task(fn())
                try:
                    load.set_result(await asyncio.shield(task))
                except asyncio.CancelledError:
                    load.cancel()
                    raise
                return load.result()

            return call

        return wrap

    def bulkhead(self, limit):
        free, waiting = limit, []

        def wrap(fn):
            async def call():
                nonlocal free
                if free:
                    free -= 1
                else:
                    turn = asyncio.get_running_loop().create_future()
                    waiting.append(turn)
                    await turn
                value = await fn()
                if waiting:
                    waiting.pop(0).set_result(None)
                else:
                    free += 1
                return value

            return call

        return wrap

    def fallback(self, value, *, widest=False, blocking=False):
        def wrap(fn):
            async def call():
                try:
                    return await fn()
                except BaseException:
                    return value

            return call

        return wrap


class NoCache(Naive):
    """Remembers, and does not share the load."""

    def cache(self):
        return lambda fn: fn
