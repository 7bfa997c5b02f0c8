"""Who handles what, as a value to be printed, drawn and tested."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .message import named
from .unit import is_unit

if TYPE_CHECKING:
    from .entry import Entry

__all__ = ("Graph", "Route")


@dataclass(frozen=True, slots=True)
class Route:
    """One message, and what it goes through."""

    message: str
    handler: str
    behaviours: tuple[str, ...]
    """Outermost first."""
    dependencies: tuple[str, ...]
    events: tuple[str, ...]
    """Those that were declared: `register(..., events=[UserCreated])`."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The routes of a bus, in the order in which they were registered; `str()` prints them."""

    name: str
    routes: tuple[Route, ...]

    @classmethod
    def of(cls, name: str, entries: Sequence[Entry]) -> Graph:
        """The graph of what is registered."""
        return cls(name, tuple(_route(each) for each in entries))

    def __str__(self) -> str:
        lines = [self.name]
        for each in self.routes:
            way = " → ".join([each.message, *each.behaviours, each.handler])
            lines.append(f"  {way}")
            if each.dependencies:
                lines.append(f"    needs {', '.join(each.dependencies)}")
            if each.events:
                lines.append(f"    tells {', '.join(each.events)}")
        return "\n".join(lines)

    def mermaid(self) -> str:
        """The same as a Mermaid flowchart, for a page or a pull request."""
        lines = ["flowchart LR"]
        ids: dict[tuple[str, str], str] = {}

        def node(sort: str, text: str, shape: str) -> str:
            known = ids.get((sort, text))
            if known is None:
                known = ids[sort, text] = f"n{len(ids)}"
                left, right = shape.split("|")
                clean = re.sub(r"[\"<>]", "'", text)
                lines.append(f'  {known}{left}"{clean}"{right}')
            return known

        for each in self.routes:
            message = node("message", each.message, "([|])")
            handler = node("handler", each.handler, "[|]")
            label = f"|{' → '.join(each.behaviours)}|" if each.behaviours else ""
            lines.append(f"  {message} -->{_quoted(label)} {handler}")
            below = [("-.->", "dependency", "[(|)]", wanted) for wanted in each.dependencies]
            below += [("==>", "event", ">|]", event) for event in each.events]
            for arrow, sort, shape, text in below:
                to = node(sort, text, shape)
                lines.append(f"  {handler} {arrow} {to}")
        return "\n".join(lines)


def _quoted(label: str) -> str:
    if not label:
        return ""
    text = label.strip("|").replace('"', "'")
    return f'|"{text}"|'


def _route(entry: Entry) -> Route:
    handler = entry.handler
    return Route(
        named(handler.kind),
        handler.label,
        tuple(map(repr, entry.behaviours)),
        tuple(
            "UnitOfWork" if is_unit(each.wanted) else named(each.wanted)
            for each in handler.dependencies
        ),
        tuple(named(each).strip("'") for each in entry.events),
    )
