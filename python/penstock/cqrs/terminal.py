"""The end of a chain: the handler itself, with what it depends on."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any

from penstock.errors import Misuse

from .handler import Dependency, Handler
from .resolver import Resolver, given_scope
from .stream_behaviour import Items, NextItems
from .unit import current_unit, is_unit, unit_for

__all__ = ("in_a_thread", "stream_terminal_of", "terminal_of")


def terminal_of(handler: Handler, resolver: Resolver) -> Callable[[Any], Awaitable[Any]]:
    """What calls the handler: its own function where there is nothing to add."""
    if not handler.dependencies:
        return _bare(handler)
    if all(is_unit(each.wanted) for each in handler.dependencies):
        return _with_unit(handler)
    return _with_scope(handler, resolver)


def _bare(handler: Handler) -> Callable[[Any], Awaitable[Any]]:
    given, inline = handler.given, handler.inline
    is_async = handler.form == "async"
    if handler.is_class:
        kind, method = given, str(handler.method)

        def given(message: Any) -> Any:
            return getattr(kind(), method)(message)

    if is_async:
        bare: Callable[[Any], Awaitable[Any]] = given
        return bare
    return _inline(given) if inline else _off_the_loop(given)


def _inline(fn: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def call(message: Any) -> Any:
        result = fn(message)
        return await result if isawaitable(result) else result

    return call


def _off_the_loop(fn: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def call(message: Any) -> Any:
        return await in_a_thread(fn, message)

    return call


def _with_unit(handler: Handler) -> Callable[[Any], Awaitable[Any]]:
    positional, named = _split(handler.dependencies)
    call_with = _calling(handler)

    async def call(message: Any) -> Any:
        unit = unit_for(handler)
        return await call_with(
            message, [unit for _ in positional], {each.name: unit for each in named}
        )

    return call


def _with_scope(handler: Handler, resolver: Resolver) -> Callable[[Any], Awaitable[Any]]:
    positional, named = _split(handler.dependencies)
    call_with = _calling(handler)

    async def get(scope: Any, each: Dependency) -> Any:
        return unit_for(handler) if is_unit(each.wanted) else await scope.get(each.wanted)

    async def inside(scope: Any, message: Any) -> Any:
        args = [await get(scope, each) for each in positional]
        keywords = {each.name: await get(scope, each) for each in named}
        return await call_with(message, args, keywords)

    if len(positional) == 1 and not named and handler.form == "async" and not handler.is_class:
        # The commonest handler, without a list and a frame of its own.
        wanted, fn = positional[0].wanted, handler.given

        async def single(message: Any) -> Any:
            scope: Any = given_scope.get()
            if scope is not None:
                return await fn(message, await scope.get(wanted))
            async with resolver.scope(message) as scope:
                return await fn(message, await scope.get(wanted))

        return single

    async def call(message: Any) -> Any:
        scope = given_scope.get()
        if scope is not None:
            return await inside(scope, message)
        async with resolver.scope(message) as scope:
            return await inside(scope, message)

    return call


def _split(given: tuple[Dependency, ...]) -> tuple[list[Dependency], list[Dependency]]:
    named = [each for each in given if each.is_keyword]
    return [each for each in given if not each.is_keyword], named


def _calling(handler: Handler) -> Callable[[Any, list[Any], dict[str, Any]], Awaitable[Any]]:
    """A function of message, dependencies by position and by name."""
    given, method = handler.given, handler.method
    is_async, inline = handler.form == "async", handler.inline

    async def call(message: Any, args: list[Any], keywords: dict[str, Any]) -> Any:
        if method is not None:
            fn = getattr(given(*args, **keywords), method)
            args, keywords = [], {}
        else:
            fn = given
        if is_async:
            return await fn(message, *args, **keywords)
        if inline:
            result = fn(message, *args, **keywords)
            return await result if isawaitable(result) else result
        return await in_a_thread(lambda each: fn(each, *args, **keywords), message)

    return call


async def in_a_thread(fn: Callable[[Any], Any], message: Any) -> Any:
    """Call `fn` off the loop, with the same context variables; a cancellation waits for its end.

    In place where the unit of work has a thread of its own already.
    """
    unit = current_unit.get()
    if unit is not None and unit.is_off_the_loop:
        result = fn(message)
    else:
        import anyio.to_thread

        # Boxed, since trio refuses to hand over something to await from a thread.
        (result,) = await anyio.to_thread.run_sync(lambda: (fn(message),))
    # A wrapper around an async function is a plain one, and so is a lambda that calls one.
    return await result if isawaitable(result) else result


def stream_terminal_of(handler: Handler, resolver: Resolver) -> NextItems:
    """What calls the handler of a stream, with a scope around all of its items."""
    given, method, form = handler.given, handler.method, handler.form
    positional, named = _split(handler.dependencies)
    if form == "stream" and method is None and not handler.dependencies:
        bare: NextItems = given
        return bare

    async def items(message: Any, args: list[Any], keywords: dict[str, Any]) -> Items:
        if method is not None:
            made = getattr(given(*args, **keywords), method)(message)
        else:
            made = given(message, *args, **keywords)
        if isgenerator(made):
            try:
                for item in made:
                    yield item
            finally:
                made.close()
            return
        if not isinstance(made, AsyncIterable):
            raise Misuse(
                f"{handler.label} returned {made!r}, and items are wanted one by one",
                hint="`async def` with `yield`, or return an async iterable",
            )
        iterator = aiter(made)
        try:
            async for item in iterator:
                yield item
        finally:
            if isasyncgen(iterator):
                await iterator.aclose()

    async def with_scope(message: Any) -> Items:
        async def get(scope: Any, each: Dependency) -> Any:
            return unit_for(handler) if is_unit(each.wanted) else await scope.get(each.wanted)

        async def within(scope: Any) -> Items:
            args = [await get(scope, each) for each in positional]
            keywords = {each.name: await get(scope, each) for each in named}
            return items(message, args, keywords)

        scope = given_scope.get()
        stopped: GeneratorExit | None = None
        async with AsyncExitStack() as stack:
            if scope is None and handler.dependencies:
                scope = await stack.enter_async_context(resolver.scope(message))
            try:
                async with aclosing(await within(scope)) as inner:
                    async for item in inner:
                        yield item
            except GeneratorExit as error:  # whoever reads it has seen enough: no failure
                stopped = error
        if stopped is not None:
            raise stopped

    return with_scope
