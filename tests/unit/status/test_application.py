"""What is at which path."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from prefork.ipc.status import Status
from prefork.observe.memory import Memory
from prefork.status import application as module
from prefork.status.application import StatusApplication
from prefork.status.exposition import NotInstalledError
from prefork.status.history import Point
from prefork.status.source import Answer
from support.statuses import status, worker

POINT = Point(5.0, 1.0, 2.0, 0.0, None, None, None, 0, 1, 0, 0.5)


class Master:
    """Answers, or does not; stands for `Source` and `Sampler`."""

    def __init__(self, said: Status | None) -> None:
        self.said = said
        self.latest: Answer | None = None
        self.silent_s = 3.21
        self.looked = 0
        self.since: list[float] = []

    def ask(self) -> Answer | None:
        if self.said is None:
            return None
        self.latest = Answer(msgspec.json.encode(self.said), self.said, 0.0)
        return self.latest

    def look(self) -> None:
        self.looked += 1

    def points_since(self, wall_s: float) -> list[Point]:
        self.since.append(wall_s)
        return [POINT]


class Asked:
    """One response."""

    def __init__(
        self, application: StatusApplication, target: str, method: str, headers: dict[str, str]
    ) -> None:
        path, _, query = target.partition("?")
        environ = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, **headers}
        self.body = b"".join(application(environ, self._start))

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = int(status.split()[0])
        self.headers = dict(headers)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    def __init__(self, said: Status | None) -> None:
        self.master = Master(said)
        self.warnings: list[str] = []
        log: Any = SimpleNamespace(warning=lambda event, **_: self.warnings.append(event))
        memories: Any = SimpleNamespace(of=lambda pids: {pid: Memory(3, 2, 1) for pid in pids})
        master: Any = self.master
        self.application = StatusApplication(master, master, memories, log)

    def get(self, target: str, method: str = "GET", **headers: str) -> Asked:
        return Asked(self.application, target, method, headers)


def test_health_is_that_the_master_answers() -> None:
    assert (Client(status()).get("/healthz").status, Client(status()).get("/healthz").body) == (200, b"ok\n")
    client = Client(None)
    silent = client.get("/healthz")
    assert (silent.status, silent.body) == (503, b"the master does not answer; it never has\n")
    client.master.latest = Answer(b"", status(), 0.0)
    assert client.get("/healthz").body == b"the master does not answer; its last answer is 3.2 s old\n"


def test_readiness_says_why_not() -> None:
    assert (Client(status()).get("/readyz").status, Client(status()).get("/readyz").body) == (200, b"ready\n")
    paused = Client(status(state="paused")).get("/readyz")
    assert paused.status == 503 and b"paused" in paused.body
    assert Client(None).get("/readyz").status == 503


def test_status_is_what_the_master_said_with_memory_and_age() -> None:
    said = status(workers=[worker(1), worker(2, pid=None)])
    client = Client(said)
    fresh = client.get("/status")
    assert fresh.headers["Content-Type"] == "application/json"
    assert fresh.json["stale_s"] == 0
    assert [each["memory"] for each in fresh.json["workers"]] == [{"rss": 3, "private": 2, "shared": 1}, None]
    expected = json.loads(msgspec.json.encode(said))
    assert {key: fresh.json[key] for key in expected if key != "workers"} == {
        key: expected[key] for key in expected if key != "workers"
    }
    client.master.said = None
    stale = client.get("/status")
    assert (stale.status, stale.json["stale_s"], stale.json["name"]) == (200, 3.21, "shop")
    assert Client(None).get("/status").status == 503


def test_fields_of_another_release_are_passed_on() -> None:
    client = Client(status())
    data = msgspec.json.encode(status())[:-1] + b',"from_the_future":[1]}'
    client.master.ask = lambda: Answer(data, status(), 0.0)  # type: ignore[method-assign]
    assert client.get("/status").json["from_the_future"] == [1]


def test_the_page_gets_what_it_does_not_have() -> None:
    client = Client(status())
    live = client.get("/live?since=4.5").json
    assert live["status"]["name"] == "shop"
    assert live["points"] == [msgspec.structs.asdict(POINT)]
    assert live["silent_s"] == 0
    assert client.master.since == [4.5] and client.master.looked == 1
    client.get("/live?since=nonsense")
    assert client.master.since[-1] == 0.0
    client.master.said = None
    assert client.get("/live").json["silent_s"] == 3.21
    assert Client(None).get("/live").json["status"] is None


def test_metrics_without_the_library_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NotInstalledError("pip install something")

    monkeypatch.setattr(module, "require", missing)
    monkeypatch.setattr(module, "expose", missing)
    client = Client(status())
    assert client.warnings == ["metrics_unavailable"]
    refused = client.get("/metrics")
    assert (refused.status, refused.body) == (501, b"pip install something\n")
    assert client.get("/healthz").status == 200


def test_metrics_in_the_format_the_client_wants() -> None:
    text = Client(status()).get("/metrics")
    assert text.headers["Content-Type"].startswith("text/plain") and b"prefork_up 1.0" in text.body
    wanted = Client(status()).get("/metrics", HTTP_ACCEPT="application/openmetrics-text; version=1.0.0")
    assert wanted.headers["Content-Type"].startswith("application/openmetrics-text")
    assert wanted.body.endswith(b"# EOF\n")
    silent = Client(None).get("/metrics")
    assert silent.status == 200 and b"prefork_up 0.0" in silent.body


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/status", "/metrics", "/live", "/nothing"])
def test_every_response_is_fresh_and_keeps_to_itself(path: str) -> None:
    headers = Client(status()).get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not any(name.startswith("Access-Control") for name in headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading(method: str) -> None:
    refused = Client(status()).get("/status", method)
    assert refused.status == 405 and refused.headers["Allow"] == "GET, HEAD"
    assert Client(status()).get("/status", "HEAD").status == 200


@pytest.mark.parametrize("path", ["/nothing", "", "/status/", "//", "/../etc/passwd"])
def test_there_is_nothing_else(path: str) -> None:
    assert Client(status()).get(path).status == 404


def test_long_answers_are_compressed_for_those_who_want() -> None:
    client = Client(status())
    plain = client.get("/metrics")
    assert "Content-Encoding" not in plain.headers
    packed = client.get("/metrics", HTTP_ACCEPT_ENCODING="br, gzip;q=0.5")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body).splitlines()[0] == plain.body.splitlines()[0]
    assert "Content-Encoding" not in client.get("/metrics", HTTP_ACCEPT_ENCODING="gzip;q=0").headers
    assert "Content-Encoding" not in client.get("/healthz", HTTP_ACCEPT_ENCODING="gzip").headers
