"""Redis: how the machines of a service tell each other what they see.

**States over several hosts.** The state of a machine is the one its processes share in memory;
calls ask that one and no other, so a closed circuit, a rate or a budget costs what it costs with
`scope="machine"`, and no system call more. One thread per process and Redis (`exchange`) does the
rest: it reports, a few times a second and at once when a circuit changes, and puts the answers in
force. One process of a machine speaks for it, and the next takes over when it dies.

- A circuit (`circuits`) is advice: a machine with evidence of its own weighs what others say.
  Probes are given by one lease for all machines; asking for it is the only wait inside a call, at
  most 50 ms, when an open circuit may be tried again.
- A rate and a budget's floor (`shares`) are divided: shares follow demand, and their sum is never
  more than the whole while Redis answers. While it does not, every machine keeps the share it has.

What is away, slow or empty changes nothing but that: each machine goes on by itself, which is told
as an event, and comes back by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .circuits import CircuitLink
from .exchange import Exchange, exchange_of
from .links import Link
from .shares import BudgetLink, RateLink

if TYPE_CHECKING:
    from penstock.resilience.strategy import Place

__all__ = (
    "BudgetLink",
    "CircuitLink",
    "Exchange",
    "Link",
    "RateLink",
    "link_budget",
    "link_circuit",
    "link_rate",
)


def link_circuit(url: str, label: str, place: Place, state: Any) -> CircuitLink:
    """Exchanges a breaker's state with other machines, as long as the link is kept."""
    exchange = exchange_of(url, label)
    link = CircuitLink(exchange, place, state)
    exchange.add(link)
    return link


def link_rate(url: str, label: str, place: Place, state: Any, *, most: float) -> RateLink:
    """Divides a rate of `most` calls a second among machines, as long as the link is kept."""
    exchange = exchange_of(url, label)
    link = RateLink(exchange, place, state, most)
    exchange.add(link)
    return link


def link_budget(
    url: str, label: str, place: Place, state: Any, *, most: float, window: float
) -> BudgetLink:
    """Divides a budget's floor of `most` retries a second, as long as the link is kept."""
    exchange = exchange_of(url, label)
    link = BudgetLink(exchange, place, state, most, window)
    exchange.add(link)
    return link
