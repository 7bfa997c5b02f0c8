"""Commands and queries: typed messages, exactly one handler for each, behaviours around it.

A unit of work commits a command's rows and its events together; a projection keeps a read model
from those events, and can be rebuilt from them.
"""

from __future__ import annotations

from .behaviour import Behaviour, Next
from .behaviours.cached import Cached
from .behaviours.idempotent import Answers, Idempotent
from .behaviours.transactional import Transactional
from .behaviours.validated import Validated
from .behaviours.watched import Logged, Measured, Traced
from .command_bus import CommandBus
from .dishka import DishkaResolver
from .driver import DriverUnits
from .errors import Misfits, NoHandler
from .factories import Factories
from .graph import Graph, Route
from .log import EventLog, LoggedEvent
from .message import Command, Query, StreamQuery
from .projection import Projection
from .projection_state import ProjectionState
from .query_bus import QueryBus
from .resolver import Resolver, Scope
from .sqlite import Sqlite
from .store import StoreUnits
from .unit import UnitOfWork, Units
from .view import View

__all__ = (
    "Answers",
    "Behaviour",
    "Cached",
    "Command",
    "CommandBus",
    "DishkaResolver",
    "DriverUnits",
    "EventLog",
    "Factories",
    "Graph",
    "Idempotent",
    "Logged",
    "LoggedEvent",
    "Measured",
    "Misfits",
    "Next",
    "NoHandler",
    "Projection",
    "ProjectionState",
    "Query",
    "QueryBus",
    "Resolver",
    "Route",
    "Scope",
    "Sqlite",
    "StoreUnits",
    "StreamQuery",
    "Traced",
    "Transactional",
    "UnitOfWork",
    "Units",
    "Validated",
    "View",
)
