"""Rows about releases and settings: what clients saw of a reload, an upgrade, recycling, workers that do not come up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from matrix.clients import Clients, Outcome, Start, survival, under_load
from matrix.servers import Wish, listen_elsewhere, read_response, session


def broken_release(start: Start) -> Outcome:
    server = start(Wish())

    def reload() -> None:
        server.deploy(b"v2", "raise RuntimeError('half copied')")
        server.signal(signal.SIGHUP)

    return survival(server, under_load(server, reload, after_s=8.0))


def broken_settings(start: Start) -> Outcome:
    server = start(Wish())
    files = [server.folder / name for name in ("prefork.toml", "gunicorn.conf.py")]
    file = next((each for each in files if each.exists()), None)
    if file is None:
        return Outcome(True, "no file")

    def reload() -> None:
        file.write_text("this is no settings file =")
        server.signal(signal.SIGHUP)

    return survival(server, under_load(server, reload))


def hangs_in_import(start: Start) -> Outcome:
    server = start(Wish(boot_timeout_s=2, timeout_s=0))

    def reload() -> None:
        server.deploy(b"v2", "time.sleep(3600)")
        server.signal(signal.SIGHUP)

    clients = under_load(server, reload, after_s=6.0)
    return survival(server, clients)


def slow_import(start: Start) -> Outcome:
    server = start(Wish())

    def reload() -> None:
        server.deploy(b"v2", "time.sleep(3)")
        server.signal(signal.SIGHUP)

    with Clients(server) as clients:
        time.sleep(0.3)
        reload()
        changed = server.wait_until(lambda: server.get(timeout_s=15)[1] == b"v2")
        time.sleep(1)
    if not changed:
        return Outcome(False, "never reloads")
    worst = f"worst request {clients.worst_s:.2f} s"
    if clients.failed:
        return Outcome(False, f"{clients.failed} failed, {worst}")
    return Outcome(clients.worst_s < 0.5, worst)


def another_address(start: Start) -> Outcome:
    """The settings file says another port: the new one answers, and whoever comes to the old one until then is answered."""
    server = start(Wish(address_in_file=True))
    old = server.port
    with socket.create_server(("127.0.0.1", 0)) as free:
        new = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        # Their requests come after the change, over connections from before it.
        kept = [stack.enter_context(server.connect()) for _ in range(4)]
        listen_elsewhere(server.folder, old, new)
        server.signal(signal.SIGHUP)
        server.port = new
        moved = server.wait_until(lambda: server.get(timeout_s=1)[0] == 200, 8.0)
        if not server.runs:
            return Outcome(False, "**server gone**")
        answered = 0
        for sock in kept:
            with contextlib.suppress(OSError):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answered += read_response(sock)[0] == 200
    text = f"{'moves' if moved else '**does not move**'}, {answered} of 4 who were waiting answered"
    return Outcome(moved and answered == 4, text)


def taken_address(start: Start) -> Outcome:
    """The settings file says a port that somebody else has."""
    server = start(Wish(address_in_file=True))
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def reload() -> None:
            listen_elsewhere(server.folder, server.port, taken.getsockname()[1])
            server.signal(signal.SIGHUP)

        return survival(server, under_load(server, reload, after_s=7.0))


def upgrade(start: Start) -> Outcome:
    """USR2 under load, with a new release on disk: nobody fails, and in the end one version answers."""
    server = start(Wish())
    with Clients(server) as clients:
        time.sleep(0.3)
        server.deploy(b"v2")
        server.signal(signal.SIGUSR2)

        def only_new() -> bool:
            return all(server.get(timeout_s=15)[1] == b"v2" for _ in range(60))

        done = server.wait_until(only_new, 8.0)
        time.sleep(1)
    if server.get()[0] != 200:
        return Outcome(False, "**server gone**" if not server.runs else "**no answers**")
    if clients.failed:
        return Outcome(False, f"{clients.failed} of {len(clients.seconds)} requests failed")
    return Outcome(done, "only new code answers" if done else "old code goes on serving")


def recycle_while_broken(start: Start) -> Outcome:
    server = start(Wish(max_requests=20))
    server.deploy(b"v2", "raise RuntimeError('half copied')")
    return survival(server, under_load(server, lambda: None, after_s=6.0))


def recycle_with_slow_boot(start: Start) -> Outcome:
    server = start(Wish(workers=1, max_requests=20), before="time.sleep(1.5)")
    clients = under_load(server, lambda: None, after_s=6.0)
    if clients.failed:
        return Outcome(False, f"{clients.failed} failed, worst {clients.worst_s:.2f} s")
    return Outcome(clients.worst_s < 0.5, f"worst request {clients.worst_s:.2f} s")


def crash_loop(start: Start) -> Outcome:
    """Workers die at their import, once the server has begun to serve."""
    marker = "if os.path.exists('broken'):\n    open('crashes', 'a').write('x')\n    os._exit(1)"
    server = start(Wish(), before=marker)
    (server.folder / "broken").touch()
    (server.folder / "crashes").touch()
    _, victim = server.get("/pid")
    for pid in session(server.process.pid):
        if str(pid).encode() == victim:
            os.kill(pid, signal.SIGKILL)
    time.sleep(5)
    crashes = (server.folder / "crashes").stat().st_size
    alive = server.runs and server.get()[0] == 200
    rate = f"{crashes / 5:.1f} attempts/s"
    return Outcome(alive and crashes / 5 <= 3, f"serves, {rate}" if alive else f"**no answer**, {rate}")
