"""Who takes part, and how each is started.

Owns: for each server the command with its best settings for so many workers and threads, and what it cannot do. Knows nothing of
workloads. `docs/performance.md` explains the settings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
START_S = 30.0


@dataclass(frozen=True)
class Wish:
    """What a workload needs of a server."""

    target: str = "hello:app"
    workers: int = 1
    threads: int = 1
    tls: bool = False
    preload: bool = False
    """Import the application before forking, where that is not what the server does anyway."""
    warm: bool = False
    """And have it answer a request before forking, where a server can."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and its certificate and key."""

    port: int
    certificate: str = ""
    key: str = ""

    def __str__(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Peer:
    """One server."""

    name: str
    package: str
    """As pip calls it."""
    command: Callable[[Wish, Address], list[str]]
    processes: bool = True
    """Can run several workers."""
    threads: bool = True
    tls: bool = False
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def version(self) -> str | None:
        """None: not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    def can(self, wish: Wish) -> bool:
        """Whether it offers what is wished for."""
        return (
            (wish.workers == 1 or self.processes)
            and (wish.threads == 1 or self.threads)
            and (self.tls or not wish.tls)
        )


def _prefork(wish: Wish, at: Address) -> list[str]:
    listen = f'[{{address="{at}", tls=true}}]' if wish.tls else f'["{at}"]'
    options = ["--workers", str(wish.workers), "--threads", str(wish.threads)]
    options += ["--set", f"server.listen={listen}", "--set", "log.level=error"]
    if wish.warm:
        options += ["--set", 'app.warmup=["/"]']
    if wish.tls:
        options += ["--set", f"tls.certificate={at.certificate}", "--set", f"tls.key={at.key}"]
    return [sys.executable, "-m", "prefork", wish.target, *options]


def _gunicorn(kind: str) -> Callable[[Wish, Address], list[str]]:
    def command(wish: Wish, at: Address) -> list[str]:
        options = ["-b", str(at), "-w", str(wish.workers), "-k", kind, "--log-level", "error"]
        if kind == "gthread":
            options += ["--threads", str(wish.threads), "--worker-connections", "10000", "--keep-alive", "5"]
        if wish.preload:
            options += ["--preload"]
        if wish.tls:
            options += ["--certfile", at.certificate, "--keyfile", at.key]
        return [sys.executable, "-m", "gunicorn", *options, wish.target]

    return command


def _uwsgi(wish: Wish, at: Address) -> list[str]:
    options = ["--http11-socket", str(at), "--master", "--die-on-term", "--disable-logging", "--need-app"]
    options += ["--listen", "128", "--so-keepalive", "--enable-threads"]
    options += ["--processes", str(wish.workers), "--threads", str(wish.threads)]
    options += ["--virtualenv", str(BIN.parent), "--module", wish.target]
    return [str(BIN / "uwsgi"), *options]


def _granian(wish: Wish, at: Address) -> list[str]:
    options = [
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(at.port),
        "--no-ws",
        "--log-level",
        "error",
    ]
    options += ["--workers", str(wish.workers), "--blocking-threads", str(wish.threads)]
    if wish.tls:
        options += ["--ssl-certificate", at.certificate, "--ssl-keyfile", at.key]
    return [sys.executable, "-m", "granian", *options, wish.target]


def _runner(name: str) -> Callable[[Wish, Address], list[str]]:
    def command(wish: Wish, at: Address) -> list[str]:
        program = str(HERE / "harness" / "runner.py")
        return [sys.executable, program, name, wish.target, str(at.port), str(wish.threads)]

    return command


FLOOR = "floor"
"""No server, but what the kernel takes (floor.c): for hello, browser, unique and close, and only if asked for."""

PEERS = {
    peer.name: peer
    for peer in (
        Peer("prefork", "prefork", _prefork, tls=True),
        Peer("prefork-pure", "prefork", _prefork, tls=True, environment=(("PREFORK_PURE", "1"),)),
        Peer("granian", "granian", _granian, tls=True),
        Peer("fastwsgi", "fastwsgi", _runner("fastwsgi"), processes=False, threads=False),
        Peer("bjoern", "bjoern", _runner("bjoern"), processes=False, threads=False),
        Peer("uwsgi", "uwsgi", _uwsgi),
        Peer("cheroot", "cheroot", _runner("cheroot"), processes=False),
        Peer("waitress", "waitress", _runner("waitress"), processes=False),
        Peer("floor", "prefork", _runner("floor"), processes=False, threads=False),
        Peer("gunicorn-gthread", "gunicorn", _gunicorn("gthread"), tls=True),
        Peer("gunicorn-sync", "gunicorn", _gunicorn("sync"), threads=False, tls=True),
    )
}


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    pid: int
    address: Address
    tls: bool
    first_response_s: float
    """From the start of its process."""

    def url(self, path: str) -> str:
        """Of a path."""
        return f"{'https' if self.tls else 'http'}://{self.address}{path}"


class StartError(Exception):
    """A server does not start; the text says how it was tried."""


@contextlib.contextmanager
def running(peer: Peer, wish: Wish, cores: set[int], certificate: tuple[str, str]) -> Iterator[Running]:
    """Starts a server on `cores`, waits until it answers, ends it with all its processes. Raises StartError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address(probe.getsockname()[1], *certificate)
    command = ["taskset", "-c", ",".join(map(str, sorted(cores))), *peer.command(wish, address)]
    environment = {**os.environ, **dict(peer.environment)}
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=HERE / "applications",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while not _answers(address, wish.tls):
            if process.poll() is not None or time.monotonic() > started + START_S:
                process.kill()
                assert process.stderr is not None
                raise StartError(f"{' '.join(command)}\n{process.stderr.read().decode()[-1000:]}")
            time.sleep(0.005)
        yield Running(process.pid, address, wish.tls, time.monotonic() - started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the session that was started for it
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _answers(address: Address, tls: bool) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", address.port), timeout=5) as plain,
            contextlib.ExitStack() as stack,
        ):
            sock = plain
            if tls:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                sock = stack.enter_context(context.wrap_socket(plain))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return sock.recv(1000).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
