from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from types import GenericAlias
from typing import Any, Final, Generic, Self, TypeVar, final

