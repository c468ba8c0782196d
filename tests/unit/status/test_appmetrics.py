"""The application's own metrics in /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from prefork.ipc.appmetrics import Family, Sample
from prefork.status.exposition import expose
from support.statuses import status

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def family(kind: str = "counter", **values: Any) -> Family:
    defaults: dict[str, Any] = {
        "name": "shop_orders",
        "help": "Orders.",
        "kind": kind,
        "labels": (),
        "bounds": (),
        "samples": [Sample((), 3.0)],
    }
    return Family(**{**defaults, **values})


@dataclass
class Told:
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def value(self, name: str, /, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def __contains__(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name, _ in self.samples)


def tell(*families: Family, accept: str = "") -> Told:
    _, body = expose(status(), {}, accept, application=families)
    parse: Any = parse_openmetrics if accept else parse_text
    return Told(
        {
            (each.name, tuple(sorted(each.labels.items()))): each.value
            for found in parse(body.decode())
            for each in found.samples
        }
    )


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_each_kind(accept: str) -> None:
    labelled = [Sample(("de",), 2.0), Sample(('f"r\n\\',), 1.0)]
    told = tell(
        family(labels=("country",), samples=labelled),
        family("gauge", name="shop_open", samples=[Sample((), 1.0)]),
        family("histogram", name="shop_basket", bounds=(1.0, 2.5), samples=[Sample((), 9.5, (4, 2, 1))]),
        accept=accept,
    )
    assert told.value("shop_orders_total", country="de") == 2
    assert told.value("shop_orders_total", country='f"r\n\\') == 1
    assert told.value("shop_open") == 1
    buckets = [told.value("shop_basket_bucket", le=le) for le in ("1.0", "2.5", "+Inf")]
    assert buckets == [4, 6, 7]
    assert (told.value("shop_basket_count"), told.value("shop_basket_sum")) == (7, 9.5)
    assert told.value("prefork_up") == 1


@pytest.mark.parametrize(
    "bad",
    [
        family(name="two words"),
        family(name=""),
        family(name='x"} 1\nprefork_up 0'),
        family("summary"),
        family(labels=("a-b",), samples=[Sample(("x",), 1.0)]),
        family(labels=("a", "a"), samples=[Sample(("x", "y"), 1.0)]),
        family(labels=("a",)),
        family("histogram", labels=("le",), samples=[Sample(("x",), 1.0, (1,))]),
        family("histogram", bounds=(2.0, 1.0), samples=[Sample((), 1.0, (1, 1, 1))]),
        family("gauge", name="prefork_up"),
        family(name="prefork_requests"),
        family("gauge", name="prefork_requests_total"),
    ],
)
def test_what_makes_no_sense_costs_itself_alone(bad: Family) -> None:
    told = tell(bad, family(name="good"))
    assert told.value("good_total") == 3
    assert told.value("prefork_up") == 1
    assert "shop_orders" not in told


def test_names_that_would_clash_are_told_once() -> None:
    told = tell(family(name="a"), family("gauge", name="a_total", samples=[Sample((), 8.0)]))
    assert told.value("a_total") == 3
