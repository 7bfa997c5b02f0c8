"""`Validated`: messages are looked at before anything else happens."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from penstock.cqrs.behaviour import Next
from penstock.cqrs.handler import Handler, label_of
from penstock.cqrs.stream_behaviour import Items, NextItems
from penstock.errors import Misuse

__all__ = ("Validated",)

Check = Callable[[Any], object]


class Validated:
    """Refuses a message that is not what its class says, before its handler is called.

    Without `check`, messages of msgspec and pydantic are validated again by their own rules (an
    object of either can be made or changed past them), dataclasses and attrs classes by msgspec if
    it is installed; what they raise comes through. Other messages pass.

    Args:
        check: a function, async or not, that is given each message instead, and raises for one
            that will not do. What it returns is not looked at.

    """

    def __init__(self, check: Check | None = None) -> None:
        if check is not None and not callable(check):
            raise Misuse(f"Validated({check!r}): this is no function", hint="Validated(check)")
        self._check = check

    def wrap(self, handler: Handler, next: Next, /) -> Next:
        """See `Behaviour`."""
        check = self._check or _own_rules(handler.kind)
        if check is None:
            return next
        if inspect.iscoroutinefunction(check):
            is_valid: Any = check

            async def validated_async(message: Any) -> Any:
                await is_valid(message)
                return await next(message)

            return validated_async

        async def validated(message: Any) -> Any:
            check(message)
            return await next(message)

        return validated

    def wrap_stream(self, handler: Handler, next: NextItems, /) -> NextItems:
        """See `StreamBehaviour`."""
        check = self._check or _own_rules(handler.kind)
        if check is None:
            return next

        async def validated(message: Any) -> Items:
            answer = check(message)
            if inspect.isawaitable(answer):
                await answer
            async for item in next(message):
                yield item

        return validated

    def __repr__(self) -> str:
        return f"Validated({label_of(self._check)})" if self._check else "Validated()"


def _own_rules(kind: Any) -> Check | None:
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        validate: Any = getattr(kind, "model_validate")  # noqa: B009 - a model has it

        def by_pydantic(message: Any) -> Any:
            return validate(dict(message))

        return by_pydantic
    if not isinstance(kind, type) or not _is_record(kind):
        return None
    try:
        import msgspec
    except ImportError:
        return None

    def by_msgspec(message: Any) -> object:
        return msgspec.convert(_as_fields(message), kind, strict=True)

    return by_msgspec


def _is_record(kind: type) -> bool:
    marks = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__")
    return any(hasattr(kind, mark) for mark in marks)


def _as_fields(message: Any) -> dict[str, Any]:
    kind: Any = type(message)
    if hasattr(kind, "__struct_fields__"):
        names = kind.__struct_fields__
        wire = kind.__struct_encode_fields__
        return {out: getattr(message, name) for name, out in zip(names, wire, strict=True)}
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(message, name) for name in kind.__dataclass_fields__}
    return {each.name: getattr(message, each.name) for each in kind.__attrs_attrs__}
