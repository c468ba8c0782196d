"""/metrics: the form that the client wants, and what to do about a library that is not there.

Owns: the choice of the format. Runs in: status process. Must not know: which metrics there are (see `metrics`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from prefork.ipc.appmetrics import Family
from prefork.ipc.status import Status
from prefork.observe.memory import Memory

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class NotInstalledError(Exception):
    """The text says what to do."""


def require() -> None:
    """Raises NotInstalledError if metrics cannot be written."""
    if find_spec("prometheus_client") is None:
        raise NotInstalledError("/metrics needs prometheus-client: pip install 'prefork[metrics]'")


class _Collected:
    """What prometheus-client calls a registry, as far as its writers use it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        return self._metrics


def expose(
    status: Status | None,
    memory: Mapping[int, Memory | None],
    accept: str,
    wall_s: float | None = None,
    application: Sequence[Family] = (),
) -> tuple[str, bytes]:
    """Content type and body for a client with this Accept field: OpenMetrics, or the older text format of Prometheus.

    `status` is None while the master does not answer; `application` are metrics of the application's own. Raises
    NotInstalledError.
    """
    require()
    from prometheus_client.exposition import choose_encoder

    from prefork.status.appmetrics import collect_application
    from prefork.status.metrics import collect

    write, content_type = choose_encoder(accept)
    metrics = list(collect(status, memory, time.time() if wall_s is None else wall_s))
    metrics += collect_application(application, [each.name for each in metrics])
    return content_type, write(_Collected(metrics))
