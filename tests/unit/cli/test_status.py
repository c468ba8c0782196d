"""`prefork status`: its words, its colours, its document."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from prefork.cli import status, statustext, text
from prefork.cli.statuscolour import show
from prefork.cli.statusschema import schema, schema_text
from prefork.ipc.control import MAX_REPLY
from prefork.ipc.status import GenerationStatus, ReloadStatus, Status
from prefork.observe.memory import Memory

from .canned import counters, histogram, running, sample, server, worker
from .conftest import Run

DOCS = Path(__file__).parents[3] / "docs"

BUSY = server(
    worker(1, 100, running=[running(elapsed_s=0.2), running("GET /\x1b[2J HTTP/1.1", 75.0)], reason="old"),
    worker(2, 200, running=[running("POST /b HTTP/1.1", 3.0)]),
    counters=counters(
        300, failed=3, connections=40, shed=2, exceptions=1, queued=histogram(300, 0.5), bytes_out=5 << 20
    ),
    generations=[GenerationStatus(number=2, state="active", zygote_pid=9, zygote="ready", preloaded=True)],
    last_reload=ReloadStatus(
        what="reload", ok=False, generation=3, ago_s=9.0, stage="import", error="no\nway"
    ),
    draining_since_s=4.0,
)


def test_the_lines_above() -> None:
    assert list(statustext.above(BUSY)) == [
        "shop: serving, pid 4700, prefork 1.0, up 100s",
        "listening on 127.0.0.1:8000",
        "draining: for 4.0s",
        "last reload 9.0s ago: failed (import): no way",
        "generation 2: active, zygote 9 ready, preloaded",
        "requests: 300 answered (2xx 297, 5xx 3), 1 exceptions, 2 turned away",
        "times: p50 2.9ms, p99 3.1ms, waited p99 536ms",
        "traffic: 40 connections, 0B in, 5.0M out",
        "queue of 127.0.0.1:8000: 0 waiting, highest 12 of 2048",
    ]


def test_long_requests_are_named_the_longest_first() -> None:
    assert list(statustext.below(BUSY)) == [
        "requests that run for long:",
        "  75s  GET / [2J HTTP/1.1  worker 1, thread 1, from 192.0.2.7",
        "  3.0s  POST /b HTTP/1.1  worker 2, thread 1, from 192.0.2.7",
    ]
    many = server(*(worker(number, running=[running(elapsed_s=number)]) for number in range(1, 20)))
    lines = list(statustext.below(many))
    assert len(lines) == 12
    assert lines[-1] == "  and 9 more"
    assert not list(statustext.below(server(worker(1))))


@pytest.mark.parametrize("width", [200, 110, 80, 70])
def test_a_narrow_terminal_has_fewer_columns(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    show(BUSY, dict(sample(BUSY).memory), console)
    written = console.file
    assert isinstance(written, io.StringIO)
    table = [line for line in written.getvalue().splitlines() if "accepting" in line or "WORKER" in line]
    assert len(table) == 3
    assert max(map(len, table)) <= width
    assert table[1].split()[0] == "1"
    assert ("RESTARTS" in table[0]) is (width > 100)


def test_an_older_server_says_less() -> None:
    old = server(worker(1, counters=None, cpu_s=None), counters=None, queues=[])
    assert len(list(statustext.above(old))) == 2
    assert statustext.row(old.workers[0], None)[-4:] == ("0", "-", "-", "-")


# the document -------------------------------------------------------------------------------------------------------


def test_the_schema_in_the_documentation_is_that_of_the_code(prefork: Run) -> None:
    written = (DOCS / "status.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "prefork status --schema > docs/status.schema.json"
    assert prefork("status", "--schema").out == written


def check(value: Any, rule: dict[str, Any], path: str = "status") -> None:
    """As much of JSON schema as ours has."""
    if "$ref" in rule:
        check(value, schema()["$defs"][rule["$ref"].rpartition("/")[2]], path)
    elif "anyOf" in rule:
        fitting = [each for each in rule["anyOf"] if each.get("type") != "null"]
        if value is not None:
            check(value, fitting[0], path)
    else:
        types: dict[str, Any] = {
            "object": dict,
            "array": list,
            "string": str,
            "boolean": bool,
            "null": type(None),
        }
        expected = types | {"integer": int, "number": (int, float)}
        assert isinstance(value, expected[rule["type"]]), path
        for key in rule.get("required", []):
            assert key in value, f"{path}.{key}"
        for key, each in rule.get("properties", {}).items():
            check(value[key], each, f"{path}.{key}")
        if rule["type"] == "object":
            others = set(value) - set(rule.get("properties", {}))
            assert not others or "additionalProperties" in rule, f"{path}: {others}"
        for number, each in enumerate(value if rule["type"] == "array" else []):
            check(each, rule["items"], f"{path}[{number}]")


@pytest.mark.parametrize("said", [BUSY, server(), server(worker(1, pid=None, age_s=None))])
def test_what_json_prints_fits_the_schema(said: Status) -> None:
    memory: dict[int, Memory | None] = dict(sample(said).memory)
    document = status.as_json(msgspec.Raw(msgspec.json.encode(said)), memory)
    check(json.loads(json.dumps(document)), schema())


def test_every_field_of_the_schema_that_needs_words_has_them() -> None:
    described = schema()["$defs"]["WorkerStatus"]["properties"]
    assert described["busy"]["description"] == "Requests it runs."
    assert "server" in described["memory"]["description"]
    assert all(each.get("description") for each in schema()["$defs"].values())


def test_a_status_of_many_workers_fits_into_an_answer() -> None:
    full = [running("GET /" + "x" * 250, 1.0, thread=thread) for thread in range(16)]
    many = server(*(worker(number, running=full) for number in range(500)))
    assert len(msgspec.json.encode(many)) < MAX_REPLY


# words --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        (text.age, 0.0, "0.0s"),
        (text.age, 9.96, "10s"),
        (text.age, 119.4, "119s"),
        (text.age, 120, "2m"),
        (text.age, 7200, "2h"),
        (text.age, 172800, "2d"),
        (text.latency, 0.00004, "0.04ms"),
        (text.latency, 0.0012, "1.2ms"),
        (text.latency, 0.0345, "34ms"),
        (text.latency, 0.9999, "1.0s"),
        (text.size, None, "-"),
        (text.size, 0, "0B"),
        (text.size, 999, "999B"),
        (text.size, 1000, "1K"),
        (text.size, 20 << 20, "20.0M"),
        (text.size, 3 << 30, "3.0G"),
        (text.size, 5 << 40, "5.0T"),
        (text.rate, 0.0, "0"),
        (text.rate, 0.44, "0.4"),
        (text.rate, 1234.5, "1234"),
        (text.percent, 0.0, "0.0%"),
        (text.percent, 0.0001, "<0.1%"),
        (text.percent, 0.25, "25.0%"),
        (text.one_line, "a\nb\x1b\x9bc", "a b  c"),
    ],
)
def test_numbers_are_short(function: Any, value: Any, words: str) -> None:
    assert function(value) == words


# pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["top.svg", "status.svg"])
def test_pictures_need_nothing_from_elsewhere(name: str) -> None:
    picture = (DOCS / name).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']*", picture)) == {"http://www.w3.org/2000/svg"}
    assert f"]({name})" in (DOCS / "top.md").read_text(encoding="utf-8")
