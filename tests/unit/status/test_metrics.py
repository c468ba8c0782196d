"""What /metrics says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from prefork.ipc.status import CountersStatus, Status
from prefork.observe.memory import Memory
from prefork.status.exposition import NotInstalledError, expose
from prefork.status.metrics import collect
from support.statuses import histogram, running, status, worker

DOCS = Path(__file__).parents[3] / "docs"

OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(
    status: Status | None, memory: dict[int, Memory | None] | None = None, accept: str = ""
) -> Samples:
    content_type, body = expose(status, memory or {}, accept, wall_s=1_800_000_100.2)
    parse: Any = parse_openmetrics if "openmetrics" in content_type else parse_text
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in parse(body.decode())
        for each in family.samples
    }


def value(found: Samples, name: str, /, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


COUNTERS = CountersStatus(
    requests=15,
    by_class=[0, 10, 2, 2, 1],
    bytes_in=7,
    bytes_out=1000,
    busy_s=2.5,
    exceptions=3,
    shed=4,
    connections=9,
    duration=histogram(0.0001, 0.003, 0.003, 0.2, 500.0),
    queued=histogram(0.0001),
    queued_s=0.25,
)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_requests_are_counted_by_class_and_time(accept: str) -> None:
    found = samples(status(counters=COUNTERS), accept=accept)
    assert [value(found, "prefork_requests_total", code_class=f"{n}xx") for n in range(1, 6)] == [
        0,
        10,
        2,
        2,
        1,
    ]
    assert value(found, "prefork_request_duration_seconds_count") == 5
    assert value(found, "prefork_request_duration_seconds_sum") == 2.5
    assert value(found, "prefork_request_queue_seconds_sum") == 0.25
    expected = {
        "prefork_request_bytes_total": 7,
        "prefork_response_bytes_total": 1000,
        "prefork_exceptions_total": 3,
        "prefork_requests_shed_total": 4,
        "prefork_connections_accepted_total": 9,
        "prefork_start_time_seconds": 1_800_000_000,
        "prefork_up": 1,
        "prefork_ready": 1,
        "prefork_generation": 1,
    }
    assert {name: value(found, name) for name in expected} == expected
    assert value(found, "prefork_info", name="shop", version="1.2.3") == 1


def test_buckets_are_cumulative_and_hold_what_took_no_longer() -> None:
    found = samples(status(counters=COUNTERS))
    name = "prefork_request_duration_seconds_bucket"
    buckets = sorted(
        (float(dict(labels)["le"]), count) for (each, labels), count in found.items() if each == name
    )
    bounds = [bound for bound, _ in buckets]
    assert 15 <= len(buckets) <= 25 and bounds[-1] == float("inf")
    for bound, count in buckets:
        took = [each for each in (0.0001, 0.003, 0.003, 0.2, 500.0) if each <= bound]
        assert count == len(took), bound
    # Buckets fit the counts they are made of: none lies between two bounds of the scoreboard.
    assert {round(each, 9) for each in status().bounds_s} >= set(bounds[:-1])


def test_every_state_of_a_worker_has_a_series_also_at_nought() -> None:
    workers = [
        worker(1, busy=2, connections=5, running=[running(1.5), running(7.5)]),
        worker(2),
        worker(3, state="draining"),
    ]
    found = samples(status(workers=workers, workers_wanted=2))
    states = {"accepting": 2, "draining": 1, "booting": 0, "killed": 0}
    assert {state: value(found, "prefork_workers", state=state) for state in states} == states
    expected = {
        "prefork_workers_wanted": 2,
        "prefork_worker_threads": 6,
        "prefork_worker_threads_busy": 2,
        "prefork_connections": 5,
        "prefork_request_oldest_seconds": 7.5,
    }
    assert {name: value(found, name) for name in expected} == expected


def test_a_worker_and_the_one_it_replaces_are_one_series() -> None:
    workers = [
        worker(1, pid=11, cpu_s=2.0),
        worker(1, id=7, pid=12, cpu_s=0.5, state="booting"),
        worker(2, pid=13),
    ]
    memory = {11: Memory(100, 60, 40), 12: Memory(50, None, None), 13: None}
    found = samples(status(workers=workers), memory)
    assert value(found, "prefork_worker_memory_bytes", worker="1", kind="rss") == 150
    assert value(found, "prefork_worker_memory_bytes", worker="1", kind="private") == 60
    assert value(found, "prefork_worker_cpu_seconds_total", worker="1") == 2.5
    assert not [
        labels for name, labels in found if name.startswith("prefork_worker_m") and ("worker", "2") in labels
    ]


def test_queues_reloads_and_ends_of_workers() -> None:
    found = samples(status(reloads={"failed": 2}, exits={"max_requests": 5, "crashed": 1}))
    address = "127.0.0.1:8000"
    assert value(found, "prefork_listen_queue", address=address) == 3
    assert value(found, "prefork_listen_queue_highest", address=address) == 7
    assert value(found, "prefork_listen_queue_limit", address=address) == 128
    assert value(found, "prefork_reloads_total", result="failed") == 2
    assert value(found, "prefork_reloads_total", result="done") == 0
    assert value(found, "prefork_worker_restarts_total", reason="max_requests") == 5
    assert value(found, "prefork_worker_restarts_total", reason="crashed") == 1


def test_of_a_master_that_does_not_answer_only_that_is_known() -> None:
    assert samples(None) == {("prefork_up", ()): 0}


def test_a_status_of_a_release_that_counts_less_is_no_error() -> None:
    found = samples(status(counters=None, bounds_s=[], queues=[]))
    assert value(found, "prefork_requests_total", code_class="2xx") == 0
    assert value(found, "prefork_request_duration_seconds_count") == 0


def test_labels_that_need_quotes_get_them() -> None:
    found = samples(status(name='a "b"\n\\'))
    assert value(found, "prefork_info", name='a "b"\n\\', version="1.2.3") == 1


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(NotInstalledError, match=r"pip install 'prefork\[metrics\]'"):
        expose(status(), {}, "")


def names_of(text: str) -> set[str]:
    return set(re.findall(r"\bprefork_\w+", text)) - {"prefork_stopped"}


def test_the_documentation_names_every_metric_and_no_other() -> None:
    memory: dict[int, Memory | None] = {101: Memory(1, 1, 1)}
    told = {family.name + ("_total" if family.type == "counter" else "") for family in families(memory)}
    table = [
        line
        for line in (DOCS / "status.md").read_text("utf-8").splitlines()
        if line.startswith("| `prefork_")
    ]
    documented = {name for line in table for name in names_of(line.split("|")[1])}
    assert documented == {"prefork_info" if name == "prefork" else name for name in told}


def test_the_rules_for_alerts_ask_for_metrics_that_there_are() -> None:
    rules = (DOCS / "deploy" / "prometheus-alerts.yml").read_text("utf-8")
    _, body = expose(status(workers=[worker(cpu_s=1.0)]), {}, "")
    told = {family.name for family in parse_text(body.decode())}
    asked = {re.sub(r"_bucket$", "", name) for name in names_of(rules)}
    assert asked and {re.sub(r"_total$", "", name) for name in asked} <= told


def families(memory: dict[int, Memory | None]) -> list[Metric]:
    return list(collect(status(workers=[worker(cpu_s=1.0)]), memory, 0.0))
