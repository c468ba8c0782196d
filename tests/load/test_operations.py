"""Planned operations and bad releases under constant load: nobody notices.

Longer with PREFORK_TEST_RELOADS=50, which is what the README's numbers come from.
"""

from __future__ import annotations

import os
import signal
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from support.deadline import SLOWNESS
from support.load import Load
from support.measured import Measured
from support.server import Server, ServerFactory

RELOADS = int(os.environ.get("PREFORK_TEST_RELOADS", "8"))
WORKERS = 4

RELEASE = """
import os, time

def app(environ, start_response):
    body = VERSION
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

VERSION = {version!r}
"""


def deploy(folder: Path, version: bytes, more: str = "") -> None:
    temporary = folder / "release.new"
    temporary.write_text(RELEASE.format(version=version) + textwrap.dedent(more))
    temporary.replace(folder / "release.py")


def start(serve: ServerFactory, folder: Path, **tables: dict[str, Any]) -> Server:
    deploy(folder, b"v0")
    tables.setdefault("app", {})["path"] = [str(folder)]
    return serve("release:app", workers=WORKERS, settings=tables)


def test_reloads_and_rollbacks_lose_no_request(
    serve: ServerFactory, tmp_path: Path, measured: Measured
) -> None:
    server = start(serve, tmp_path)
    with Load(server.address) as load:
        load.begin("warm")
        load.wait_for(500)
        rest = load.begin("rest")
        load.wait_for(RELOADS * 250)
        operations = load.begin("operations")
        for number in range(1, RELOADS + 1):
            deploy(tmp_path, b"v%d" % number)
            done = server.command("reload", "--wait")
            assert done.returncode == 0, done.stderr
            load.wait_for(50)
        started = time.monotonic()
        assert server.command("rollback", "--wait").returncode == 0
        rollback_s = time.monotonic() - started
        load.wait_for(200)
    measured(f"at rest: {rest}")
    measured(f"during {RELOADS} reloads and a rollback: {operations}")
    measured(
        f"p99 during operations is {operations.percentile_ms(99) / rest.percentile_ms(99):.1f} times that at rest"
    )
    measured(f"`prefork rollback --wait` of {WORKERS} workers: {rollback_s:.2f} s")
    assert not rest.failures, rest.failures[:5]
    assert not operations.failures, operations.failures[:5]
    assert operations.bodies >= {b"v%d" % number for number in range(RELOADS)}
    assert server.get("/").body == b"v%d" % (RELOADS - 1)
    # A machine that others use as well has its own ideas of the last percent: a bound in time beside that in proportion.
    bound_ms = max(3 * rest.percentile_ms(99), 50 * SLOWNESS)
    assert operations.percentile_ms(99) < bound_ms


BROKEN = {
    "import error": ("raise ImportError('half copied')", "ImportError: half copied"),
    "hang in import": ("def hang():\n    time.sleep(3600)\nhang()", "in hang"),
    "failing warm-up": (
        """
        def app(environ, start_response):
            raise RuntimeError("the database has no such table")
        """,
        "RuntimeError: the database has no such table",
    ),
    "warm-up with 500": (
        """
        def app(environ, start_response):
            environ["wsgi.errors"].write("Traceback: something framework-like")
            start_response("500 Oops", [("Content-Length", "0")])
            return [b""]
        """,
        "Traceback: something framework-like",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_release_under_load_fails_the_command_and_no_request(
    serve: ServerFactory, tmp_path: Path, measured: Measured, kind: str
) -> None:
    text, last_words = BROKEN[kind]
    timeout = 3 if "hang" in kind else 60
    server = start(serve, tmp_path, app={"warmup": ["/"]}, workers={"boot_timeout": timeout})
    before = server.workers()
    with Load(server.address, keep_alive=16, fresh=4) as load:
        phase = load.begin(kind)
        load.wait_for(100)
        deploy(tmp_path, b"broken", text)
        done = server.command("reload", "--wait")
        load.wait_for(100)
    measured(f"{kind}: {phase}")
    assert done.returncode == 1
    assert last_words in done.stderr, done.stderr
    assert "generation 1 goes on serving" in done.stderr
    assert not phase.failures, phase.failures[:5]
    assert phase.bodies == {b"v0"}
    assert server.workers() == before


def test_settings_that_are_no_toml_fail_the_command_and_no_request(
    serve: ServerFactory, tmp_path: Path, measured: Measured
) -> None:
    server = start(serve, tmp_path)
    with Load(server.address, keep_alive=16, fresh=4) as load:
        phase = load.begin("invalid TOML")
        load.wait_for(100)
        server.config.write_text("[server\n")
        done = server.command("reload", "--wait")
        load.wait_for(100)
    measured(f"invalid TOML: {phase}")
    assert done.returncode == 1
    assert f"{server.config}: line 1, column " in done.stderr
    assert not phase.failures, phase.failures[:5]


def test_hup_under_load_goes_the_same_way(serve: ServerFactory, tmp_path: Path) -> None:
    server = start(serve, tmp_path)
    with Load(server.address, keep_alive=16, fresh=4) as load:
        phase = load.begin("HUP")
        load.wait_for(50)
        deploy(tmp_path, b"v1")
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.signal(signal.SIGHUP)
        server.wait_for_event("reload_done", after=mark)
        load.wait_for(100)
    assert not phase.failures, phase.failures[:5]
    assert phase.bodies == {b"v0", b"v1"}
