"""An application that uses prometheus_client: the code of docs/metrics.md, as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.deadline import eventually
from support.server import ServerFactory

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

APP = """
import os
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
from prefork import metrics
from shop.metrics import {imported}

ORDERS = Counter("shop_orders", "Orders taken")
RUNNING = Gauge("shop_running", "Workers that have served", multiprocess_mode="liveall")
TEAS = metrics.counter("shop_teas", "Teas", labels=("kind",))
SIZES = metrics.histogram("shop_sizes", "Sizes", buckets=(1, 10))
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
{register}

def app(environ, start_response):
    body = b"%d" % os.getpid()
    if environ["PATH_INFO"] == "/metrics":
        body = generate_latest(registry)
    else:
        ORDERS.inc()
        RUNNING.set(1)
        TEAS.labels("green").inc()
        SIZES.observe(5)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def block(mark: str) -> str:
    """The Python in docs/metrics.md that has `mark` in it."""
    (found,) = [
        text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if mark in text
    ]
    return str(found)


@pytest.mark.parametrize("preload", ["always", "never"])
def test_what_the_documentation_says_works(serve: ServerFactory, tmp_path: Path, preload: str) -> None:
    """Numbers of both libraries on the application's own page, over recycling; a worker that leaves is forgotten."""
    shop, numbers = tmp_path / "shop", tmp_path / "numbers"
    shop.mkdir()
    numbers.mkdir()
    (shop / "metrics.py").write_text(block("worker_leaves") + "\n" + block("class PreforkCollector"))
    register = "registry.register(PreforkCollector())"
    (shop / "web.py").write_text(APP.format(imported="PreforkCollector", register=register))
    server = serve(
        "shop.web:app",
        workers=2,
        settings={
            "app": {
                "path": [str(tmp_path)],
                "env": {"PROMETHEUS_MULTIPROC_DIR": str(numbers)},
                "preload": preload,
            },
            "hooks": {"before_stop": "shop.metrics:worker_leaves"},
        },
    )

    def page() -> dict[str, float]:
        lines = server.get("/metrics").body.decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

    served = {int(server.get("/").body) for _ in range(20)}
    assert page()["shop_orders_total"] == page()['shop_teas_total{kind="green"}'] == 20
    assert {f'shop_running{{pid="{pid}"}}' for pid in served} <= page().keys()
    before = server.workers().keys()
    assert server.command("recycle").returncode == 0
    eventually(lambda: not before & server.workers().keys(), "new workers")
    server.get("/")
    found = page()
    assert found["shop_orders_total"] == found['shop_teas_total{kind="green"}'] == 21
    assert (found['shop_sizes_bucket{le="1.0"}'], found['shop_sizes_bucket{le="10.0"}']) == (0, 21)
    assert (found['shop_sizes_bucket{le="+Inf"}'], found["shop_sizes_sum"]) == (21, 105)
    assert not {f'shop_running{{pid="{pid}"}}' for pid in before} & found.keys(), "they have left"
