"""Recycling on real processes: nothing stalls, nothing is lost, and the code stays that of the generation."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from support.http import encode
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]


def body(server: Server) -> str:
    return server.get("/").body.decode()


def get_many(server: Server, count: int) -> None:
    for _ in range(count):
        assert server.get("/").status == 200


def test_a_worker_that_answered_enough_is_replaced_by_one_with_the_same_code(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"max_requests": 5}})
    (first,) = server.workers()
    deploy(server, "v2", "raise RuntimeError('half deployed')")
    get_many(server, 5)
    assert server.wait_for_event("worker_recycling", pid=first)["reason"] == "max_requests = 5"
    left = server.wait_for_event("worker_exited", pid=first)
    assert (left["how"], left["reason"]) == ("exit code 0", "max_requests = 5")
    ready = server.log.events("worker_ready")
    assert len(ready) == 2, "the replacement was there first"
    assert body(server) == "v1"


def test_a_replacement_that_cannot_boot_leaves_the_old_worker_serving(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"max_requests": 3}, "app": {"preload": "never"}})
    (first,) = server.workers()
    deploy(server, "v2", "raise RuntimeError('half deployed')")
    get_many(server, 3)
    failed = server.wait_for_event("worker_exited", failures=3)
    assert failed["serving_pid"] == str(first)
    assert failed["error"].endswith("RuntimeError: half deployed")
    assert server.workers() == {first: 1}
    assert body(server) == "v1"
    mark = server.mark()
    deploy(server, "v3")
    server.wait_for_event("worker_exited", after=mark, pid=first, how="exit code 0")
    assert body(server) == "v3"


def test_a_worker_that_is_old_enough_is_replaced(deployed: Deployed) -> None:
    server = deployed(workers=2, settings={"workers": {"max_lifetime": 0.2}})
    first = server.workers()
    for pid in first:
        server.wait_for_event("worker_exited", pid=pid, how="exit code 0", reason="max_lifetime = 0.2s")


GROWS = """
kept = []
serve = app
def app(environ, start_response):
    if environ["PATH_INFO"] == "/grow":
        kept.append(os.urandom(64 << 20))
    return serve(environ, start_response)
"""


def test_a_worker_that_has_grown_is_replaced(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"max_memory": "60MiB"}}, body=GROWS)
    (first,) = server.workers()
    assert server.get("/grow").status == 200
    left = server.wait_for_event("worker_exited", pid=first)
    assert left["how"] == "exit code 0"
    assert left["reason"].endswith("MiB of memory, max_memory = 60MiB")
    assert len(server.wait_for_workers(1)) == 1


def test_a_worker_that_has_grown_far_too_much_is_killed(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"max_memory_hard": "60MiB"}}, body=GROWS)
    (first,) = server.workers()
    with server.connect() as connection:
        connection.send(encode("GET", "/grow"))  # it may be killed before it has answered
        left = server.wait_for_event("worker_exited", pid=first)
    assert left["how"] == "signal 9 (SIGKILL)"
    assert left["killed"].endswith("MiB of memory, max_memory_hard = 60MiB")
    server.wait_for_workers(1)
    assert body(server) == "v1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own")
def test_memory_of_workers_of_another_user_is_limited_too(serve: Callable[..., Server]) -> None:
    settings = {"server": {"user": "65534", "group": "65534"}, "workers": {"max_memory_hard": "1MiB"}}
    server = serve("whoami:app", settings=settings)
    (first,) = server.workers()
    left = server.wait_for_event("worker_exited", pid=first)
    assert left["killed"].endswith("max_memory_hard = 1MiB")
