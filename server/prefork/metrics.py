"""Metrics of the application: counters, gauges and histograms that all workers share.

    from prefork import metrics

    orders = metrics.counter("shop_orders", "Orders taken", labels=("country",))
    orders.labels("ch").inc()

They lie in shared memory: what a worker counted survives it, whether it is recycled, replaced by a reload or killed. The status
process shows them in /metrics, added up over all workers. They may be made and used at any time: at import, before the fork, in
any thread; without prefork they count for the process alone. See docs/metrics.md.

Owns: what applications call. Runs in: zygote, worker, any process. Must not know: where the numbers lie (see `ipc.registry`).
"""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from prefork.ipc.appmetrics import Family, Sample
from prefork.ipc.metricregion import MAX_BOUNDS, Definition
from prefork.ipc.registry import SeriesHere, registry

__all__ = [
    "DEFAULT_BUCKETS",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Sample",
    "counter",
    "families",
    "gauge",
    "histogram",
]

DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, as other Prometheus clients have them."""

MODES = ("sum", "max", "min", "last", "all")

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"

_Self = TypeVar("_Self", bound="_Metric")


class _Metric:
    """One series, or if it has labels the family from which `labels` takes them."""

    __slots__ = ("_children", "_definition", "_lock", "_series")

    def __init__(self, definition: Definition, series: SeriesHere | None) -> None:
        self._definition = definition
        self._series = series
        self._children: dict[tuple[str, ...], _Metric] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Of the family; of a counter without "_total"."""
        return self._definition.name

    def labels(self: _Self, *values: object, **named: object) -> _Self:
        """The series with these label values, given in order or by name. Keep it, if it is used often.

        Raises ValueError if they are not exactly those that the metric has.
        """
        definition = self._definition
        if named:
            if values or named.keys() != set(definition.labels):
                raise self._wrong_labels()
            values = tuple(named[name] for name in definition.labels)
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            if self._series is not None or len(key) != len(definition.labels):
                raise self._wrong_labels()
            child = type(self)(definition, SeriesHere(definition, key))
            if not registry.full:  # else it would be remembered for nothing, and so would all that follow
                with self._lock:
                    child = self._children.setdefault(key, child)
        assert isinstance(child, type(self))
        return child

    def _wrong_labels(self) -> ValueError:
        names = ", ".join(self._definition.labels) or "none"
        return ValueError(
            f"metric {self._definition.name}: its labels are: {names}; give a value for each, once"
        )

    def _unlabelled(self) -> SeriesHere:
        if self._series is None:
            raise self._wrong_labels()
        return self._series


class Counter(_Metric):
    """A number that only grows."""

    __slots__ = ()

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`. Raises ValueError if it is negative."""
        if not amount >= 0:
            raise ValueError(f"metric {self._definition.name}: a counter only grows, not by {amount!r}")
        series = self._series or self._unlabelled()
        (series.cells or series.bind()).add(0, amount)

    def value(self) -> float:
        """What this process has counted."""
        return self._unlabelled().bind().get(0)


class Gauge(_Metric):
    """A number that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Make it `value`."""
        series = self._series or self._unlabelled()
        cells = series.cells or series.bind()
        cells.set(0, value)
        cells.set(1, time.monotonic())

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, which may be negative."""
        series = self._series or self._unlabelled()
        cells = series.cells or series.bind()
        cells.add(0, amount)
        cells.set(1, time.monotonic())

    def dec(self, amount: float = 1.0) -> None:
        """Subtract `amount`."""
        self.inc(-amount)

    @contextmanager
    def track(self) -> Iterator[None]:
        """One more while the block runs."""
        self.inc()
        try:
            yield
        finally:
            self.dec()

    def value(self) -> float:
        """What it is in this process."""
        return self._unlabelled().bind().get(0)


class Histogram(_Metric):
    """How often a value, mostly a duration in seconds, was how large."""

    __slots__ = ()

    def observe(self, value: float) -> None:
        """Count `value` once. NaN is counted among the largest."""
        series = self._series or self._unlabelled()
        cells = series.cells or series.bind()
        bounds = self._definition.bounds
        # NaN compares with nothing, and would be found anywhere.
        index = bisect_left(bounds, value) if value == value else len(bounds)
        cells.observe(index + 1, value)

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe how many seconds the block took, whether it raised or not."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began)

    def value(self) -> tuple[float, list[float]]:
        """(sum, counts by bucket) of this process."""
        cells = self._unlabelled().bind()
        return cells.get(0), [cells.get(index + 1) for index in range(len(self._definition.bounds) + 1)]


def families() -> list[Family]:
    """All metrics made here, by all workers there have been: for an application that has a page for metrics of its own, see
    docs/metrics.md. Without prefork, those of this process. Raises OSError."""
    return registry.families()


# making them ----------------------------------------------------------------------------------------------------------

_made: dict[str, _Metric] = {}
_making = threading.Lock()


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:
    """A counter. Its name should end in a unit; "_total" is added where it is shown.

    Asked for again, it is the same one. Raises ValueError for a name or label that Prometheus does not know, and if the name is
    taken by a metric of another kind.
    """
    return _make(Counter, Definition(name.removesuffix("_total"), help, "counter", _names(name, labels)))


def gauge(name: str, help: str, labels: Sequence[str] = (), mode: str = "sum") -> Gauge:
    """A gauge. `mode` says how the values of several workers become one: "sum", "max", "min", "last" (the one set last, which
    outlives its worker), or "all": each is shown for itself, with a label `worker`. Raises ValueError, see `counter`."""
    if mode not in MODES:
        raise ValueError(f"metric {name}: unknown mode {mode!r}; there are: {', '.join(MODES)}")
    taken = _names(name, labels, ("worker",) if mode == "all" else ())
    return _make(Gauge, Definition(name, help, "gauge", taken, mode=mode))


def histogram(
    name: str, help: str, labels: Sequence[str] = (), buckets: Iterable[float] = DEFAULT_BUCKETS
) -> Histogram:
    """A histogram. `buckets` are upper bounds, inclusive; one without a bound is added. Raises ValueError, see `counter`."""
    bounds = tuple(float(each) for each in buckets if each != math.inf)
    rising = all(one < other for one, other in itertools.pairwise(bounds))
    if not (bounds and rising and all(map(math.isfinite, bounds)) and len(bounds) <= MAX_BOUNDS):
        raise ValueError(f"metric {name}: buckets must be 1 to {MAX_BOUNDS} numbers in rising order")
    return _make(Histogram, Definition(name, help, "histogram", _names(name, labels, ("le",)), bounds=bounds))


_Kind = TypeVar("_Kind", bound=_Metric)


def _make(kind: type[_Kind], definition: Definition) -> _Kind:
    name = definition.name
    with _making:
        made = _made.get(name)
        if made is None:
            series = None if definition.labels else SeriesHere(definition, ())
            _made[name] = metric = kind(definition, series)
            if series is not None:
                series.bind()  # shown as 0 from the start, not only once it happened
            return metric
    if not isinstance(made, kind) or made._definition != definition:
        raise ValueError(f"metric {name}: there is one already, and it is another: {made._definition}")
    return made


def _names(name: str, labels: Sequence[str], taken: tuple[str, ...] = ()) -> tuple[str, ...]:
    if not re.fullmatch(_NAME, name, re.ASCII):
        raise ValueError(
            f"metric {name!r}: a name has letters, digits, _ and :, and does not begin with a digit"
        )
    if name.startswith("prefork_"):
        raise ValueError(f"metric {name}: names that begin with prefork_ are the server's own")
    if isinstance(labels, str):
        raise ValueError(f'metric {name}: labels are a sequence of names, such as ("{labels}",)')
    for label in labels:
        if not re.fullmatch(_LABEL, label, re.ASCII) or label.startswith("__") or label in taken:
            raise ValueError(f"metric {name}: {label!r} cannot be the name of a label")
    if len(set(labels)) != len(labels):
        raise ValueError(f"metric {name}: a label is there twice")
    return tuple(labels)
