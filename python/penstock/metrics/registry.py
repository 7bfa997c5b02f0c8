"""`Metrics`: instruments by name, each made on first use and the same one ever after."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

from penstock._native import (
    Counter,
    Gauge,
    Histogram,
    MeasuredCall,
    Measurement,
    Timing,
    measure_function,
)
from penstock.errors import Misuse

from .exposition import text_of
from .families import REGISTERING, CounterFamily, GaugeFamily, HistogramFamily
from .names import checked_labels, checked_name
from .snapshots import Snapshot, read

P = ParamSpec("P")
T = TypeVar("T")
Instrument: TypeAlias = (
    Counter | CounterFamily | Gauge | GaugeFamily | Histogram | HistogramFamily | Measurement
)

InstrumentT = TypeVar("InstrumentT", bound=Instrument)

# What makes two requests ask for the same instrument: kind, label names, scale.
_Shape: TypeAlias = tuple[str, tuple[str, ...], int | None]


class Measure(Protocol):
    """The type of `metrics.measure`: a block, an async call or a plain call, by its arguments."""

    @overload
    def __call__(self, name: str, /) -> Timing: ...
    @overload
    def __call__(
        self, name: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> MeasuredCall[T]: ...
    @overload
    def __call__(
        self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


class Metrics:
    """A registry of instruments, all named differently.

    `penstock.metrics` has one for the process. Make another for a test, or for a component that
    must not meet other names; it goes with its last reference, and so do its instruments.

    Asking again for a name gives the same instrument; asking for it as another kind, with other
    labels or another scale raises `Misuse`. Any thread may ask. In a forked child every instrument
    goes on from a copy of what the parent had counted at the fork.
    """

    __slots__ = ("__weakref__", "_instruments", "_measurements", "_shapes", "measure")

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument] = {}
        self._shapes: dict[str, _Shape] = {}
        self._measurements: dict[str, Measurement] = {}
        self.measure: Measure = measure_function(self._measurements, self._add_measurement)

    @overload
    def counter(self, name: str, help: str = "", *, max_series: int = 2000) -> Counter: ...
    @overload
    def counter(
        self, name: str, help: str = "", *, labels: Iterable[str], max_series: int = 2000
    ) -> CounterFamily: ...
    @overload
    def counter(
        self, name: str, help: str, labels: Iterable[str], *, max_series: int = 2000
    ) -> CounterFamily: ...
    def counter(
        self,
        name: str,
        help: str = "",
        labels: Iterable[str] = (),
        *,
        max_series: int = 2000,
    ) -> Counter | CounterFamily:
        """A sum that only grows: requests, bytes, errors.

        With `labels`, a family of counters: `bind(...)` one, or `inc(n, labels={...})`.
        `max_series` bounds how many label combinations are kept apart. Raises `Misuse` for a
        name, labels or bound that cannot work, and for a name in use for something else.
        """

        def make(name: str, labels: tuple[str, ...]) -> Counter | CounterFamily:
            if not labels:
                return Counter(name, help)
            return CounterFamily(
                name, help, labels, max_series, lambda values: Counter(name, help, values)
            )

        return self._instrument(name, "counter", labels, max_series, None, make)

    @overload
    def gauge(self, name: str, help: str = "", *, max_series: int = 2000) -> Gauge: ...
    @overload
    def gauge(
        self, name: str, help: str = "", *, labels: Iterable[str], max_series: int = 2000
    ) -> GaugeFamily: ...
    @overload
    def gauge(
        self, name: str, help: str, labels: Iterable[str], *, max_series: int = 2000
    ) -> GaugeFamily: ...
    def gauge(
        self,
        name: str,
        help: str = "",
        labels: Iterable[str] = (),
        *,
        max_series: int = 2000,
    ) -> Gauge | GaugeFamily:
        """A value that goes up and down: a queue's depth, a pool's size.

        Arguments and errors as for `counter`.
        """

        def make(name: str, labels: tuple[str, ...]) -> Gauge | GaugeFamily:
            if not labels:
                return Gauge(name, help)
            return GaugeFamily(
                name, help, labels, max_series, lambda values: Gauge(name, help, values)
            )

        return self._instrument(name, "gauge", labels, max_series, None, make)

    @overload
    def histogram(
        self,
        name: str,
        help: str = "",
        *,
        scale: Literal[3, 4, 5] = 4,
        max_series: int = 2000,
    ) -> Histogram: ...
    @overload
    def histogram(
        self,
        name: str,
        help: str = "",
        *,
        labels: Iterable[str],
        scale: Literal[3, 4, 5] = 4,
        max_series: int = 2000,
    ) -> HistogramFamily: ...
    @overload
    def histogram(
        self,
        name: str,
        help: str,
        labels: Iterable[str],
        *,
        scale: Literal[3, 4, 5] = 4,
        max_series: int = 2000,
    ) -> HistogramFamily: ...
    def histogram(
        self,
        name: str,
        help: str = "",
        labels: Iterable[str] = (),
        *,
        scale: Literal[3, 4, 5] = 4,
        max_series: int = 2000,
    ) -> Histogram | HistogramFamily:
        """A distribution: durations in seconds, sizes in bytes; gives any quantile.

        `scale` is how fine its buckets are: quantiles are within 2.2 % at 4, 1.1 % at 5, 4.4 % at
        3; each step doubles the memory of the buckets. The rest as for `counter`.
        """

        def make(name: str, labels: tuple[str, ...]) -> Histogram | HistogramFamily:
            plain = Histogram(name, help, None, scale)  # refuses a scale that cannot be
            return HistogramFamily(name, help, labels, max_series, scale) if labels else plain

        return self._instrument(name, "histogram", labels, max_series, scale, make)

    def measured(self, name: str, /) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorates a function, async or not, so that every call of it is measured as `name`.

        The signature stays. Raises `Misuse` for a generator function, whose call only makes the
        generator: measure the loop that consumes it.
        """
        self._measurement(name)
        measure = self.measure

        def decorate(fn: Callable[P, T]) -> Callable[P, T]:
            if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
                raise Misuse(
                    f"measured({name!r}): {fn.__qualname__} is a generator function",
                    hint="calling it runs nothing yet; put `with measure(...)` around its loop",
                )
            if inspect.iscoroutinefunction(fn):

                @wraps(fn)
                async def measured_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    return await measure(name, fn, *args, **kwargs)

                # Calling it gives a coroutine of the same result, which is what T stands for.
                return cast(Callable[P, T], measured_async)

            @wraps(fn)
            def measured_plain(*args: P.args, **kwargs: P.kwargs) -> T:
                return measure(name, fn, *args, **kwargs)

            return measured_plain

        return decorate

    def snapshot(self) -> Snapshot:
        """What every instrument says now, as immutable values by name.

        Counting goes on meanwhile: each distribution agrees with itself, different instruments are
        read one after the other. Any thread may call it; costs some microseconds an instrument.
        """
        with REGISTERING:
            instruments = list(self._instruments.items())
        return Snapshot({name: read(instrument) for name, instrument in instruments})

    def exposition(self, *, openmetrics: bool = False) -> str:
        """Every instrument as text for Prometheus, or as OpenMetrics.

        Counters get their `_total`; a histogram becomes a classic one with bounds that stay the
        same; a measurement its durations, errors, cancelled calls and calls under way. `.`, `/` and
        `-` in names become `_`. Of this process. Any thread; as `snapshot`, and some 50 µs a series
        of a histogram more. `penstock.asgi.metrics_app` answers with it.
        """
        with REGISTERING:
            instruments = list(self._instruments.items())
        readings = [
            (name, getattr(instrument, "help", ""), read(instrument))
            for name, instrument in instruments
        ]
        return text_of(readings, openmetrics=openmetrics)

    def _instrument(
        self,
        name: str,
        kind: str,
        labels: Iterable[str],
        max_series: int,
        scale: int | None,
        make: Callable[[str, tuple[str, ...]], InstrumentT],
    ) -> InstrumentT:
        checked = checked_labels(checked_name(name), labels)
        if isinstance(max_series, bool) or not isinstance(max_series, int) or max_series < 1:
            raise Misuse(
                f"metrics: max_series of {name!r} is {max_series!r}", hint="a whole number from 1"
            )
        shape = (kind, checked, scale)
        with REGISTERING:
            known = self._shapes.get(name)
            if known is None:
                self._instruments[name] = make(name, checked)
                self._shapes[name] = shape
            elif known != shape:
                raise Misuse(
                    f"metrics: {name!r} is {_said(known)} already, and was asked for as "
                    f"{_said(shape)}",
                    hint="ask for the same, or choose another name",
                )
            # What was made for the same shape is of the same type.
            return cast(InstrumentT, self._instruments[name])

    def _measurement(self, name: str) -> Measurement:
        return self._measurements.get(checked_name(name)) or self._add_measurement(name)

    def _add_measurement(self, name: str) -> Measurement:
        made = self._instrument(name, "measurement", (), 1, None, lambda name, _: Measurement(name))
        self._measurements[name] = made
        return made

    def __repr__(self) -> str:
        return f"<Metrics instruments={len(self._instruments)}>"


def _said(shape: _Shape) -> str:
    kind, labels, scale = shape
    words = [f"a {kind}"]
    if labels:
        words.append(f"with labels {list(labels)}")
    if scale is not None:
        words.append(f"of scale {scale}")
    return " ".join(words)
