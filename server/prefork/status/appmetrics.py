"""The application's own metrics (`prefork.metrics`), as Prometheus wants them.

Owns: what of them can be told: nothing in the memory they come from is trusted, and one bad name must not cost the rest. Pure.
Runs in: status process. Must not know: where they come from (see `prefork.ipc.appmetrics`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from prefork.ipc.appmetrics import Family

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_ENDINGS = ("", "_total", "_bucket", "_count", "_sum", "_created", "_info")
"""What the formats put behind names: metrics whose series would have the same names cannot both be told."""


def collect_application(families: Iterable[Family], taken: Iterable[str]) -> Iterator[Metric]:
    """Those of `families` that can be told. `taken`: names of metrics that are there already."""
    names = {f"{name}{ending}" for name in taken for ending in _ENDINGS}
    for family in families:
        mine = {f"{family.name}{ending}" for ending in _ENDINGS}
        if _is_sound(family) and not names & {family.name, f"{family.name}_total"}:
            names |= mine
            yield _metric(family)


def _is_sound(family: Family) -> bool:
    own = "le" if family.kind == "histogram" else "__name__"
    labels = family.labels
    return (
        family.kind in ("counter", "gauge", "histogram")
        and _NAME.fullmatch(family.name) is not None
        and all(_LABEL.fullmatch(label) and not label.startswith("__") and label != own for label in labels)
        and len(set(labels)) == len(labels)
        and list(family.bounds) == sorted(set(family.bounds))
        and all(len(each.labels) == len(labels) for each in family.samples)
    )


def _metric(family: Family) -> Metric:
    text = family.help or family.name
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, text, labels=family.labels)
        bounds = [*map(repr, map(float, family.bounds)), "+Inf"]
        for each in family.samples:
            if len(each.buckets) == len(bounds):
                histogram.add_metric(
                    each.labels, list(zip(bounds, accumulate(each.buckets), strict=True)), each.value
                )
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(family.name, text, labels=family.labels)
    for each in family.samples:
        made.add_metric(each.labels, each.value)
    return made
