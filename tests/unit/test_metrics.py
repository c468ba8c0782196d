"""`prefork.metrics`: what applications may do with it, and what becomes of it across forks, deaths and moves."""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork import metrics
from prefork.ipc import appmetrics, metricregion
from prefork.ipc.metricregion import HEADER_BYTES, REGION_BYTES, Definition, Region, read_series
from prefork.ipc.metricstore import FIRST_REGION, PAGE, ZYGOTE, MetricStore
from prefork.ipc.registry import Registry, registry

Read = Callable[[], dict[str, appmetrics.Family]]


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Names are free, and nothing is left attached."""
    before = dict(metrics._made)
    metrics._made.clear()
    registry._series.clear()
    registry.detach()
    yield
    registry._series.clear()
    registry.detach()
    registry.on_full = lambda _name: None
    metrics._made.clear()
    metrics._made.update(before)


@pytest.fixture
def store() -> Iterator[MetricStore]:
    made = MetricStore()
    yield made
    registry.detach()
    made.close()


@pytest.fixture
def read(store: MetricStore) -> Read:
    return lambda: {family.name: family for family in appmetrics.read(store.fd)}


def attached(store: MetricStore, owner: int, number: int = 1, generation: int = 1) -> None:
    registry.attach(store.fd, store.assign(owner, number, generation))


def only(family: appmetrics.Family) -> appmetrics.Sample:
    (sample,) = family.samples
    return sample


# the interface ------------------------------------------------------------------------------------------------------


def test_a_counter_grows() -> None:
    hits = metrics.counter("hits_total", "Hits")
    hits.inc()
    hits.inc(2.5)
    assert (hits.name, hits.value()) == ("hits", 3.5)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="only grows"):
            hits.inc(wrong)
    with pytest.raises(TypeError):
        hits.inc("1")  # type: ignore[arg-type]
    assert hits.value() == 3.5


def test_a_gauge_goes_up_and_down() -> None:
    level = metrics.gauge("level", "Level")
    level.set(5)
    level.inc()
    level.dec(2)
    with level.track():
        assert level.value() == 5
    with pytest.raises(KeyError), level.track():
        raise KeyError
    assert level.value() == 4


def test_a_histogram_counts_by_bucket() -> None:
    sizes = metrics.histogram("sizes", "Sizes", buckets=(1, 10, math.inf))
    for value in (0, 1, 1.5, 10, 11, math.inf, math.nan):
        sizes.observe(value)
    total, counts = sizes.value()
    assert counts == [2, 2, 3]
    assert math.isnan(total)
    with metrics.histogram("times", "Times").time():
        pass
    assert sum(metrics.histogram("times", "Times").value()[1]) == 1


def test_labels_by_order_and_by_name_are_the_same_series() -> None:
    orders = metrics.counter("orders", "Orders", labels=("country", "kind"))
    orders.labels("ch", 3).inc()
    orders.labels(kind="3", country="ch").inc()
    assert orders.labels("ch", "3").value() == 2
    assert orders.labels("ch", "3") is orders.labels("ch", "3")
    for values, named in [
        (("ch",), {}),
        ((), {}),
        (("a", "b", "c"), {}),
        ((), {"country": "ch"}),
        (("a",), {"kind": "b"}),
    ]:
        with pytest.raises(ValueError, match="its labels are: country, kind"):
            orders.labels(*values, **named)
    with pytest.raises(ValueError, match="its labels are"):
        orders.inc()
    with pytest.raises(ValueError, match="its labels are: country, kind"):
        orders.labels("ch", "3").labels("ch")
    with pytest.raises(ValueError, match="its labels are: none"):
        metrics.counter("plain", "Plain").labels("x")


def test_asked_for_again_it_is_the_same_and_nothing_else() -> None:
    one = metrics.counter("x", "X", labels=("a",))
    assert metrics.counter("x_total", "X", labels=["a"]) is one
    for wrong in (
        lambda: metrics.counter("x", "X"),
        lambda: metrics.counter("x", "Another", labels=("a",)),
        lambda: metrics.gauge("x", "X", labels=("a",)),
    ):
        with pytest.raises(ValueError, match="there is one already"):
            wrong()


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.counter("1x", "X"),
        lambda: metrics.counter("a b", "X"),
        lambda: metrics.counter("ä", "X"),
        lambda: metrics.counter("", "X"),
        lambda: metrics.counter("prefork_x", "X"),
        lambda: metrics.counter("x", "X", labels="abc"),
        lambda: metrics.counter("x", "X", labels=("a", "a")),
        lambda: metrics.counter("x", "X", labels=("__a",)),
        lambda: metrics.counter("x", "X", labels=("a:b",)),
        lambda: metrics.histogram("x", "X", labels=("le",)),
        lambda: metrics.gauge("x", "X", labels=("worker",), mode="all"),
        lambda: metrics.gauge("x", "X", mode="mean"),
        lambda: metrics.histogram("x", "X", buckets=()),
        lambda: metrics.histogram("x", "X", buckets=(math.inf,)),
        lambda: metrics.histogram("x", "X", buckets=(2, 1)),
        lambda: metrics.histogram("x", "X", buckets=(1, 1)),
        lambda: metrics.histogram("x", "X", buckets=(math.nan,)),
        lambda: metrics.histogram("x", "X", buckets=range(1000)),
    ],
)
def test_what_prometheus_would_not_understand_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"^metric "):
        make()


def test_threads_lose_nothing() -> None:
    hits, by_label = metrics.counter("hits", "Hits"), metrics.counter("by_label", "By label", ("n",))

    def work() -> None:
        for number in range(5000):
            hits.inc()
            by_label.labels(number % 50).inc()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hits.value() == 20_000
    assert sum(by_label.labels(number).value() for number in range(50)) == 20_000


def test_without_prefork_running_it_counts_for_itself() -> None:
    code = "from prefork import metrics; c = metrics.counter('c', 'C'); c.inc(); print(c.value())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"


# several processes --------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_import_counts_once_and_what_it_set_is_true_in_each_worker(
    store: MetricStore, read: Read
) -> None:
    attached(store, ZYGOTE | 1, 0)
    imports, size = metrics.counter("imports", "I"), metrics.gauge("size", "S", mode="max")
    total, each = metrics.gauge("total", "T"), metrics.gauge("each", "E", mode="all")
    imports.inc()
    for gauge in (size, total, each):
        gauge.set(7)

    def work(owner: int, at: int) -> Callable[[], None]:
        def run() -> None:
            registry.attach(store.fd, at)
            assert imports.value() == 0
            assert size.value() == 7
            size.set(owner)

        return run

    for owner in (1, 2):
        in_child(work(owner, store.assign(owner, owner, 1)))
    found = read()
    assert only(found["imports"]).value == 1
    assert only(found["size"]).value == 2
    assert only(found["total"]).value == 14
    each_worker = [(sample.labels, sample.value) for sample in found["each"].samples]
    assert each_worker == [(("1",), 7.0), (("2",), 7.0)]


def test_a_child_of_the_application_does_not_write_to_its_parents_counts(
    store: MetricStore, read: Read
) -> None:
    attached(store, 1)
    hits = metrics.counter("hits", "Hits")
    hits.inc()

    def work() -> None:
        assert hits.value() == 0
        hits.inc(100)

    in_child(work)
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert only(read()["hits"]).value == hits.value() == 1


def test_counters_and_histograms_outlive_their_worker_and_gauges_do_not(
    store: MetricStore, read: Read
) -> None:
    for owner in range(1, 4):
        attached(store, owner, 1)
        metrics.counter("hits", "Hits", ("a",)).labels("x").inc()
        metrics.histogram("sizes", "Sizes", buckets=(1, 2)).observe(owner)
        for mode in metrics.MODES:
            metrics.gauge(f"g_{mode}", "G", mode=mode).set(owner)
        store.release(owner)
    found = read()
    assert only(found["hits"]).value == 3
    assert (only(found["sizes"]).value, only(found["sizes"]).buckets) == (6, (1, 1, 1))
    assert only(found["g_last"]).value == 3
    assert found.keys() == {"hits", "sizes", "g_last"}
    assert os.fstat(store.fd).st_size == FIRST_REGION + REGION_BYTES  # one region, used again


@pytest.mark.parametrize(("mode", "expected"), [("sum", 5), ("min", -3), ("max", 8), ("last", 8)])
def test_gauges_of_several_workers_become_one(
    store: MetricStore, read: Read, mode: str, expected: float
) -> None:
    for owner, value in ((1, -3), (2, None), (3, 8)):
        attached(store, owner, owner)
        gauge = metrics.gauge("g", "G", mode=mode)
        gauge._series.bind().set(1, 0.0)  # type: ignore[union-attr] # as if it had not come from the worker before
        gauge._series.bind().set(0, 0.0)  # type: ignore[union-attr]
        if value is not None:
            gauge.set(value)
        registry._series.clear()  # the next one is another process
        gauge._series.cells = None  # type: ignore[union-attr]
    assert only(read()["g"]).value == expected


def test_a_new_generation_that_means_something_else_by_a_name_wins(store: MetricStore, read: Read) -> None:
    attached(store, 1, 1, generation=1)
    metrics.counter("x", "Old", ("a",)).labels("1").inc()
    metrics._made.clear()
    registry.detach()
    attached(store, 2, 1, generation=2)
    metrics.counter("x", "New").inc(5)
    assert (read()["x"].help, only(read()["x"]).value) == ("New", 5)
    store.release(2)
    assert read()["x"].help == "Old"


def test_a_process_killed_at_any_moment_leaves_what_can_be_read(store: MetricStore, read: Read) -> None:
    for owner in range(1, 6):
        at = store.assign(owner, owner, 1)
        begun_out, begun_in = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                registry.attach(store.fd, at)
                hits, labelled = metrics.counter("hits", "H"), metrics.counter("labelled", "L", ("n",))
                for number in range(10**9):
                    hits.inc()
                    labelled.labels(number % 3000).inc()
                    if number == 200 * owner:
                        os.write(begun_in, b"x")
            finally:
                os._exit(1)
        os.close(begun_in)
        assert os.read(begun_out, 1) == b"x"
        os.close(begun_out)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        before = only(read()["hits"]).value
        store.release(owner)
        found = read()
        assert only(found["hits"]).value == before
        # The two are counted one after the other: it died at most once between them in each life.
        assert 0 <= before - sum(sample.value for sample in found["labelled"].samples) <= owner


# bounds -------------------------------------------------------------------------------------------------------------


def test_a_full_region_says_so_once_and_goes_on_counting_what_is_there(
    store: MetricStore, read: Read
) -> None:
    told: list[str] = []
    attached(store, 1)
    registry.on_full = told.append
    assert registry._region is not None
    registry._region._end = 64 << 10
    first, many = metrics.counter("first", "F"), metrics.counter("many", "M", ("n",))
    for number in range(3000):
        many.labels(number).inc()
    first.inc()
    assert told == ["many"]
    assert len(many._children) < 3000 > len(registry._series), "what is refused is not remembered"
    unheard = many.labels("unheard")
    unheard.inc()
    found = read()
    assert only(found["first"]).value == 1
    shown = len(found["many"].samples)
    assert 500 < shown < 3000
    assert appmetrics.refused(store.fd) == 3001 - shown


def test_who_found_no_room_finds_it_after_a_move(store: MetricStore, read: Read) -> None:
    attached(store, 1)
    assert registry._region is not None
    registry._region._end = HEADER_BYTES
    hits = metrics.counter("hits", "H")
    hits.inc()
    assert read() == {}
    attached(store, 2)
    hits.inc()
    assert only(read()["hits"]).value == 1


def test_what_cannot_be_kept_of_the_dead_is_told(store: MetricStore, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    store.on_full = lambda: told.append(True)
    monkeypatch.setattr(store._gone, "_end", HEADER_BYTES + 300)
    attached(store, 1)
    for number in range(20):
        metrics.counter(f"c{number}", "C").inc()
    store.release(1)
    assert told == [True]


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_nothing_that_an_application_writes_there_harms_a_reader(data: st.DataObject) -> None:
    store = MetricStore()
    at = store.assign(1, 1, 1)
    with mmap.mmap(store.fd, REGION_BYTES, offset=at) as memory:
        region = Region(memory)
        histogram = Definition("h", "H", "histogram", ("a",), bounds=(1.0, 2.0))
        for definition, labels in (
            (Definition("c", "C", "counter"), ()),
            (histogram, ("x",)),
            (histogram, ("y",)),
        ):
            assert region.add(definition, labels) is not None
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(32, 700))
            damage = data.draw(st.binary(min_size=1, max_size=12))
            memory[place : place + len(damage)] = damage
    for family in appmetrics.read(store.fd):
        for sample in family.samples:
            assert len(sample.labels) == len(family.labels)
    store.release(1)
    appmetrics.read(store.fd)
    store.close()


def test_a_length_beyond_the_end_is_not_followed() -> None:
    memory = mmap.mmap(-1, REGION_BYTES)
    Region(memory).add(Definition("c", "C", "counter"), ())
    struct.pack_into("@Q", memory, metricregion._USED_AT, 1 << 63)
    assert len(list(read_series(memory, 0))) == 1
    struct.pack_into("@I", memory, HEADER_BYTES, 0xFFFFFFF8)
    assert list(read_series(memory, 0)) == []


# upgrades -----------------------------------------------------------------------------------------------------------


def test_a_program_after_an_upgrade_goes_on_with_it() -> None:
    store = MetricStore()
    hits = Definition("hits", "H", "counter")
    for owner in (1, 2):
        with mmap.mmap(store.fd, REGION_BYTES, offset=store.assign(owner, owner, 1)) as memory:
            cells = Region(memory).add(hits, ())
            assert cells is not None
            cells.add(0, owner)
            del cells
    store.release(1)
    later = MetricStore.inherited(os.dup(store.fd), store.owners)
    assert not later.replaced
    later.release(2)
    (family,) = appmetrics.read(later.fd)
    assert only(family).value == 3
    assert later.assign(3, 1, 1) in (FIRST_REGION, FIRST_REGION + REGION_BYTES)
    later.close()
    store.close()


def test_of_another_layout_it_is_replaced_under_the_same_number() -> None:
    store = MetricStore()
    store.assign(1, 1, 1)
    os.pwrite(store.fd, b"another", 0)
    fd, own = os.dup(store.fd), Registry()
    own.attach(fd, FIRST_REGION)
    assert own._region is None
    assert appmetrics.read(fd) == []
    later = MetricStore.inherited(fd, {1: FIRST_REGION})
    assert (later.replaced, later.fd, later.owners) == (True, fd, {})
    assert os.fstat(fd).st_size == FIRST_REGION == PAGE + 4 * REGION_BYTES
    later.close()
    store.close()


# beside prometheus_client -------------------------------------------------------------------------------------------


def documented(start: str) -> str:
    """The example of docs/metrics.md with this in it."""
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if start in block]
    return str(found)


def test_the_documented_collector_shows_them_to_prometheus_client(store: MetricStore) -> None:
    client = pytest.importorskip("prometheus_client")
    names: dict[str, Any] = {}
    exec(documented("class PreforkCollector"), names)
    collectors = client.CollectorRegistry()
    collectors.register(names["PreforkCollector"]())
    own = client.Counter("old_way", "Of the client library", registry=collectors)
    own.inc(2)
    for owner in (1, 2):
        attached(store, owner, owner)
        metrics.counter("new_way", "Ours", ("who",)).labels("a").inc()
        metrics.histogram("sizes", "Sizes", buckets=(1, 2)).observe(1.5)
        metrics.gauge("level", "Level", mode="all").set(owner)
    shown = client.generate_latest(collectors).decode()
    for line in (
        "old_way_total 2.0",
        'new_way_total{who="a"} 2.0',
        'sizes_bucket{le="1.0"} 0.0',
        'sizes_bucket{le="+Inf"} 2.0',
        "sizes_sum 3.0",
        'level{worker="1"} 1.0',
    ):
        assert line in shown.splitlines()


def test_the_documented_metrics_can_be_made() -> None:
    exec(documented("shop_orders"), {})
    assert {family.name for family in metrics.families()} == {"shop_uploads", "shop_basket_items"}
