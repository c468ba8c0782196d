"""The access log: whole lines from many workers, and moving on to a new file on USR1."""

from __future__ import annotations

import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.deadline import eventually
from support.server import Server, ServerFactory

CLIENTS = 8
REQUESTS = 250
TIME = r"\[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\]"
LINES = {
    "common": rf'127\.0\.0\.1 - \S+ {TIME} "GET (/\S*) HTTP/1\.1" (\d{{3}}) (\d+|-)',
    "combined": rf'127\.0\.0\.1 - \S+ {TIME} "GET (/\S*) HTTP/1\.1" (\d{{3}}) (\d+|-) "(.*)" "(.*)"',
}


def load(server: Server, name: str) -> set[str]:
    """`CLIENTS` connections with `REQUESTS` requests each; returns the targets, all of them different."""

    def client(number: int) -> list[str]:
        targets = [f"/?{name}={number}.{index}.{'x' * (index * 7 % 600)}" for index in range(REQUESTS)]
        with server.connect() as connection:
            for target in targets:
                headers = [("User-Agent", f"agent {number}"), ("Referer", "http://example/")]
                assert connection.get(target, headers).status == 200
        return targets

    with ThreadPoolExecutor(CLIENTS) as pool:
        return {target for targets in pool.map(client, range(CLIENTS)) for target in targets}


def log_settings(path: Path, log_format: str) -> dict[str, dict[str, str]]:
    return {"log": {"access": str(path), "access_format": log_format}}


@pytest.mark.parametrize("log_format", ["common", "combined", "json"])
def test_lines_of_four_workers_stay_whole(serve: ServerFactory, tmp_path: Path, log_format: str) -> None:
    path = tmp_path / "access.log"
    server = serve("probe:app", workers=4, settings=log_settings(path, log_format))
    targets = load(server, "t")
    assert server.stop() == 0
    lines = path.read_text().splitlines()
    if log_format == "json":
        seen = [json.loads(line) for line in lines]
        found = {f"{entry['path']}?{entry['query']}" for entry in seen}
        assert {(entry["status"], entry["bytes"]) for entry in seen} == {(200, 13)}
    else:
        matches = [re.fullmatch(LINES[log_format], line) for line in lines]
        assert all(matches), [line for line, match in zip(lines, matches, strict=True) if not match][:3]
        found = {match[1] for match in matches if match}
        assert {(match[2], match[3]) for match in matches if match} == {("200", "13")}
    assert len(lines) == CLIENTS * REQUESTS
    assert found == targets


def test_the_combined_format_has_agent_and_referer(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    server = serve("probe:app", settings=log_settings(path, "combined"))
    server.get("/", [("User-Agent", 'curl "quoted"\\'), ("Referer", "http://example/")])
    server.stop()
    (line,) = path.read_text().splitlines()
    match = re.fullmatch(LINES["combined"], line)
    assert match, line
    assert match[4] == "http://example/"
    assert 'curl "quoted"' not in line, "a quote in a header must not end the field"


def test_a_format_of_ones_own(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log_format = "{method} {path} {query} -> {status} {bytes} worker={worker} gen={gen}"
    server = serve("probe:app", settings=log_settings(path, log_format))
    server.get("/nowhere?a=1")
    server.get("/")
    server.stop()
    assert path.read_text().splitlines() == [
        "GET /nowhere a=1 -> 404 13 worker=1 gen=1",
        "GET / - -> 200 13 worker=1 gen=1",
    ]


def test_usr1_moves_on_to_a_new_file(serve: ServerFactory, tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    server = serve("probe:app", workers=4, settings=log_settings(path, "common"))
    before = load(server, "before")
    path.rename(old)
    server.signal(signal.SIGUSR1)
    eventually(path.exists, "the new access log")
    # From here on each worker moves on when the message reaches it: ask until one wrote to the new file.
    after: set[str] = set()

    def moved() -> bool:
        after.add(target := f"/?after={len(after)}")
        server.get(target)
        return path.stat().st_size > 0

    eventually(moved, "a line in the new file")
    late = load(server, "late")
    assert server.stop() == 0
    old_targets, new_targets = (
        re.findall(r'"GET (\S+) HTTP/1\.1" 200 13$', file.read_text(), re.MULTILINE) for file in (old, path)
    )
    assert before <= set(old_targets)
    assert late & set(new_targets), "the load after USR1 went to the new file"
    assert sorted(old_targets + new_targets) == sorted(before | after | late), "no line lost, none doubled"


def test_usr1_reopens_the_log_itself(server_factory: ServerFactory, tmp_path: Path) -> None:
    path, old, sock = tmp_path / "server.log", tmp_path / "server.log.1", tmp_path / "app.sock"
    server = server_factory(
        {
            "app": {"target": "probe:app"},
            "server": {"listen": [f"unix:{sock}"]},
            "log": {"output": str(path)},
        }
    )
    eventually(lambda: path.exists() and "event=ready" in path.read_text(), "event=ready in the file")
    path.rename(old)
    server.signal(signal.SIGUSR1)
    eventually(path.exists, "the new log file")
    assert server.stop() == 0
    assert "event=stopped" in path.read_text()
    assert "event=ready" in old.read_text()
    assert not sock.exists()
