"""Signals to the master, each as a person sends it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from support.deadline import eventually
from support.gate import Gate
from support.http import ConnectionEndedError, encode
from support.server import Server, ServerFactory


def release(folder: Path, text: str) -> None:
    """Put an application in place that answers with `text`."""
    body = text.encode()
    (folder / "release.new").write_text(
        f"def app(environ, start_response):\n"
        f"    start_response('200 OK', [('Content-Length', '{len(body)}')])\n"
        f"    return [{body!r}]\n"
    )
    (folder / "release.new").replace(folder / "release.py")


def send(server: Server, number: signal.Signals, times: int) -> None:
    """Send a signal several times in a row, each as soon as the kernel has delivered the one before.

    While one is pending the kernel drops further ones (signal(7)); what was delivered, the master must count.
    """
    status = Path(f"/proc/{server.pid}/status")

    def delivered() -> bool:
        pending = re.findall(r"^(?:SigPnd|ShdPnd):\t(\w+)$", status.read_text(), re.MULTILINE)
        return not any(int(mask, 16) >> (number - 1) & 1 for mask in pending)

    for _ in range(times):
        server.signal(number)
        eventually(delivered, f"the delivery of {number.name}")


def test_hup_serves_new_code_and_new_settings(serve: ServerFactory, tmp_path: Path) -> None:
    release(tmp_path, "one")
    server = serve("release:app", settings={"app": {"path": [str(tmp_path)]}})
    assert server.get("/").body == b"one"
    release(tmp_path, "two")
    server.configure({"workers": {"count": 3}})
    assert server.reload() == 2
    server.wait_for_workers(3, gen=2)
    assert server.get("/").body == b"two"


@pytest.mark.parametrize("preload", ["always", "never"])
def test_hup_keeps_what_works_when_code_or_settings_are_broken(
    serve: ServerFactory, tmp_path: Path, preload: str
) -> None:
    release(tmp_path, "works")
    server = serve("release:app", workers=2, settings={"app": {"path": [str(tmp_path)], "preload": preload}})
    before = server.workers()
    (tmp_path / "release.py").write_text("import a_module_that_is_missing\n")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_for_event("reload_failed", after=mark)
    assert server.log.search("a_module_that_is_missing", after=mark)
    release(tmp_path, "fine again")
    server.config.write_text("[workers]\ncount = 'many'\n")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_for_event("reload_failed", after=mark)
    assert server.log.search(r"\[workers\] count", after=mark)
    assert server.get("/").body == b"works"
    assert server.workers() == before
    server.configure({})
    server.reload()
    assert server.get("/").body == b"fine again"


def test_six_ttin_are_six_workers_and_two_ttou_take_two_away(serve: ServerFactory) -> None:
    server = serve("probe:app")
    send(server, signal.SIGTTIN, times=6)
    server.wait_for_workers(7)
    send(server, signal.SIGTTOU, times=2)
    server.wait_for_workers(5)
    assert server.get("/").status == 200


def test_winch_lets_the_workers_go_and_hup_brings_them_back(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    server.signal(signal.SIGWINCH)
    server.wait_for_workers(0)
    with server.connect() as connection:  # the listener is open, so the client waits instead of failing
        connection.send(encode("GET", "/"))
        server.signal(signal.SIGHUP)
        assert connection.read_response().status == 200
    server.wait_for_workers(2)


def test_term_finishes_what_runs(serve: ServerFactory, gate: Gate) -> None:
    server = serve("probe:app", workers=2)
    with server.connect() as connection:
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate")
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping")
        gate.open()
        assert connection.read_response().status == 200
    assert server.wait() == 0
    assert server.log.events("stopped")


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], [signal.SIGQUIT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]],
    ids=["INT", "QUIT", "TERM-TERM", "TERM-INT"],
)
def test_a_fast_stop_waits_for_nobody(
    serve: ServerFactory, gate: Gate, signals: list[signal.Signals], threads: int
) -> None:
    server = serve("probe:app", threads=threads, settings={"workers": {"drain_timeout": 600}})
    with server.connect() as connection:
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate")
        for number, one in enumerate(signals, start=1):
            server.signal(one)
            server.log.wait_until(lambda n=number: server.log.events("stopping")[n - 1 :] or None, "stopping")
        assert server.wait() == 0
        with pytest.raises((ConnectionEndedError, ConnectionResetError)):
            connection.read_response()


def test_a_stop_ends_idle_connections_and_soon(serve: ServerFactory) -> None:
    server = serve("probe:app", settings={"requests": {"keepalive_timeout": 1}})
    with server.connect() as connection:
        assert connection.get("/").status == 200
        server.signal(signal.SIGTERM)
        assert connection.ended()
    assert server.wait() == 0


def test_the_pid_file_is_there_while_the_server_is(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    server = serve("probe:app", settings={"server": {"pid_file": str(path)}})
    assert path.read_text().strip() == str(server.pid)
    assert server.stop() == 0
    eventually(lambda: not path.exists(), "the end of the pid file")
