"""How each server is started, as its own documentation has it, and what it can be asked for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Wish:
    """What a row needs from a server. `None` or 0: its default."""

    workers: int = 2
    threads: int = 1
    max_requests: int = 0
    timeout_s: int = 0
    boot_timeout_s: int = 0
    address_in_file: bool = False
    """It is to be told where to listen by its settings file, which it reads again for a reload."""


@dataclass(frozen=True)
class Kind:
    """A server."""

    name: str
    program: str
    """Under `bin` of its environment."""
    arguments: Callable[[Wish, int, Path], list[str] | None]
    """None: it has nothing of the kind."""


def listen_elsewhere(folder: Path, old: int, new: int) -> None:
    """Change the port in the settings file of whichever server this is."""
    for name in ("prefork.toml", "gunicorn.conf.py"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace(f":{old}", f":{new}"))


def prefork(wish: Wish, port: int, folder: Path) -> list[str] | None:
    lines = [
        '[app]\ntarget = "release:app"\npath = ["."]',
        f'[server]\nlisten = ["127.0.0.1:{port}"]\ncontrol = "off"',
        f"[workers]\ncount = {wish.workers}\nthreads = {wish.threads}\nmax_requests = {wish.max_requests}",
    ]
    if wish.boot_timeout_s:
        lines.append(f"boot_timeout = {wish.boot_timeout_s}")
    if wish.timeout_s:
        lines.append(f"[requests]\ntimeout = {wish.timeout_s}")
    (folder / "prefork.toml").write_text("\n".join(lines) + "\n")
    return ["-m", "prefork", "-c", "prefork.toml"]


def _gunicorn(worker: str) -> Callable[[Wish, int, Path], list[str] | None]:
    def arguments(wish: Wish, port: int, folder: Path) -> list[str] | None:
        chosen = ["-w", str(wish.workers), "-k", worker]
        if not wish.address_in_file:
            chosen += ["-b", f"127.0.0.1:{port}"]
        if worker == "gthread":
            chosen += ["--threads", str(max(wish.threads, 2))]
        if wish.max_requests:
            chosen += ["--max-requests", str(wish.max_requests)]
        if wish.timeout_s:
            chosen += ["--timeout", str(wish.timeout_s)]
        bind = f'bind = "127.0.0.1:{port}"\n' if wish.address_in_file else ""
        (folder / "gunicorn.conf.py").write_text(bind)
        return [*chosen, "-c", "gunicorn.conf.py", "release:app"]

    return arguments


def _uwsgi(*more: str) -> Callable[[Wish, int, Path], list[str] | None]:
    def arguments(wish: Wish, port: int, _folder: Path) -> list[str] | None:
        if wish.address_in_file:
            return None
        chosen = [
            "--http-socket",
            f"127.0.0.1:{port}",
            "--master",
            "-p",
            str(wish.workers),
            "--module",
            "release:app",
        ]
        if wish.threads > 1:
            chosen += ["--threads", str(wish.threads)]
        if wish.max_requests:
            chosen += ["--max-requests", str(wish.max_requests), "--min-worker-lifetime", "1"]
        if wish.timeout_s:
            chosen += ["--harakiri", str(wish.timeout_s)]
        return [*chosen, *more]

    return arguments


def _wsgi_at(port: int, wish: Wish) -> list[str]:
    """Options that granian and uvicorn have in common."""
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return ["--interface", "wsgi", *where, "--workers", str(wish.workers)]


def _granian(wish: Wish, port: int, _folder: Path) -> list[str] | None:
    if wish.max_requests or wish.timeout_s or wish.address_in_file:
        return None
    return [*_wsgi_at(port, wish), "--blocking-threads", str(wish.threads), "release:app"]


def _uvicorn(wish: Wish, port: int, _folder: Path) -> list[str] | None:
    if wish.timeout_s or wish.address_in_file:
        return None
    chosen = _wsgi_at(port, wish)
    if wish.max_requests:
        chosen += ["--limit-max-requests", str(wish.max_requests)]
    return [*chosen, "release:app"]


KINDS = (
    Kind("prefork", "python", prefork),
    Kind("gunicorn sync", "gunicorn", _gunicorn("sync")),
    Kind("gunicorn gthread", "gunicorn", _gunicorn("gthread")),
    Kind("uWSGI", "uwsgi", _uwsgi("--need-app")),
    Kind("granian", "granian", _granian),
    Kind("uvicorn", "uvicorn", _uvicorn),
)

RELEASE = """\
import os, time
{before}
def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = VERSION
    if path.startswith("/sleep/"):
        time.sleep(float(path[7:]))
    elif path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/big":
        body = b"x" * (64 << 20)
    elif path == "/short":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
        return [b"short"]
    elif path == "/read":
        body = b"%d" % len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

VERSION = {version!r}
"""


class Server:
    """A running one, in a folder of its own."""

    def __init__(
        self,
        kind: Kind,
        bin_folder: Path,
        folder: Path,
        wish: Wish,
        before: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.more_environment = environment or {}
        self.deploy(b"v1", before)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        arguments = kind.arguments(wish, self.port, folder)
        if arguments is None:
            raise NotOfferedError
        program = sys.executable if kind.program == "python" else str(bin_folder / kind.program)
        self.command = [program, *arguments]
        self.bin_folder = bin_folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again)."""
        # uWSGI in an environment executes the Python beneath it when it reloads.
        packages = next(self.bin_folder.parent.glob("lib/python*/site-packages"), "")
        environment = {
            **os.environ,
            **self.more_environment,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.folder}:{packages}",
        }
        if self.command[0] == sys.executable:
            environment.pop("PYTHONPATH")
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                self.command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.folder / "log").read_text(errors="replace")

    def deploy(self, version: bytes, before: str = "") -> None:
        """Put another release in place."""
        temporary = self.folder / "release.new"
        temporary.write_text(RELEASE.format(version=version, before=before))
        temporary.replace(self.folder / "release.py")

    def signal(self, number: int) -> None:
        """To the master."""
        self.process.send_signal(number)

    @property
    def runs(self) -> bool:
        """The master lives."""
        return self.process.poll() is None

    def workers(self) -> set[int]:
        """Those who answer, as far as twenty answers tell."""
        return {int(body) for status, body in (self.get("/pid") for _ in range(20)) if status == 200}

    def get(self, path: str = "/", timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Status and body; status 0 if there is no answer."""
        try:
            with self.connect(timeout_s) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return read_response(sock)
        except OSError:
            return 0, b""

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def wait_until(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
        """Whether it becomes true."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def wait_ready(self) -> bool:
        """It answers."""
        return self.wait_until(lambda: self.get("/", 1.0)[0] == 200)

    def close(self) -> None:
        """The end of all its processes."""
        for process in self.started:
            for pid in session(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


class NotOfferedError(Exception):
    """The server has nothing of the kind."""


def session(leader: int) -> Iterator[int]:
    """The processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                yield int(entry.name)


def read_response(sock: socket.socket) -> tuple[int, bytes]:
    """To the end of the connection, or of the body. Status 0: no whole response."""
    data = b""
    try:
        while True:
            head, end, body = data.partition(b"\r\n\r\n")
            if end:
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    None,
                )
                if length is not None and len(body) >= length:
                    return int(head.split()[1]), body
            more = sock.recv(65536)
            if not more:
                return (int(head.split()[1]), body) if end and length is None else (0, b"")
            data += more
    except OSError:
        return 0, b""
