"""The rows: each breaks something, and looks at what clients saw of it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from matrix.corpus import INVALID
from matrix.servers import Server, Wish, listen_elsewhere, read_response, session

Start = Callable[..., Server]
"""`start(Wish(...), before=...)`: a server that answers."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, and whether it is what a site needs."""

    good: bool
    text: str


class Clients:
    """Three of them, one request after the other with 50 ms between: what each took, and how many failed."""

    def __init__(self, server: Server, count: int = 3, pace_s: float = 0.05) -> None:
        self._server = server
        self._pace_s = pace_s
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(count)
        self._futures = [self._pool.submit(self._work) for _ in range(count)]
        self.seconds: list[float] = []
        self.failed = 0

    def _work(self) -> None:
        while not self._stopping.wait(self._pace_s):
            begun = time.monotonic()
            status, _ = self._server.get(timeout_s=15.0)
            self.seconds.append(time.monotonic() - begun)
            self.failed += status != 200

    def stop(self) -> None:
        """No more requests."""
        self._stopping.set()
        for future in self._futures:
            future.result()
        self._pool.shutdown()

    @property
    def worst_s(self) -> float:
        """The longest request."""
        return max(self.seconds, default=0.0)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _under_load(server: Server, do: Callable[[], object], after_s: float = 3.0) -> Clients:
    with Clients(server) as clients:
        time.sleep(0.3)
        do()
        time.sleep(after_s)
    return clients


def _survival(server: Server, clients: Clients, version: bytes = b"v1") -> Outcome:
    status, body = server.get()
    if not server.runs:
        return Outcome(False, "**server gone**")
    if status != 200:
        share = round(100 * clients.failed / max(1, len(clients.seconds)))
        return Outcome(False, f"**no answers** ({share} % failed)")
    if clients.failed:
        return Outcome(False, f"{clients.failed} of {len(clients.seconds)} requests failed")
    return Outcome(body == version, f"survives, serves {body.decode()}")


def broken_release(start: Start) -> Outcome:
    server = start(Wish())

    def reload() -> None:
        server.deploy(b"v2", "raise RuntimeError('half copied')")
        server.signal(signal.SIGHUP)

    return _survival(server, _under_load(server, reload, after_s=8.0))


def broken_settings(start: Start) -> Outcome:
    server = start(Wish())
    files = [server.folder / name for name in ("prefork.toml", "gunicorn.conf.py")]
    file = next((each for each in files if each.exists()), None)
    if file is None:
        return Outcome(True, "no file")

    def reload() -> None:
        file.write_text("this is no settings file =")
        server.signal(signal.SIGHUP)

    return _survival(server, _under_load(server, reload))


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


def recycle_while_broken(start: Start) -> Outcome:
    server = start(Wish(max_requests=20))
    server.deploy(b"v2", "raise RuntimeError('half copied')")
    return _survival(server, _under_load(server, lambda: None, after_s=6.0))


def recycle_with_slow_boot(start: Start) -> Outcome:
    server = start(Wish(workers=1, max_requests=20), before="time.sleep(1.5)")
    clients = _under_load(server, lambda: None, after_s=6.0)
    if clients.failed:
        return Outcome(False, f"{clients.failed} failed, worst {clients.worst_s:.2f} s")
    return Outcome(clients.worst_s < 0.5, f"worst request {clients.worst_s:.2f} s")


def too_long(start: Start) -> Outcome:
    server = start(Wish(workers=1, timeout_s=2))
    begun = time.monotonic()
    status, _ = server.get("/sleep/6", timeout_s=10)
    seconds = time.monotonic() - begun
    answer = f"{status} after {seconds:.1f} s" if status else f"connection closed after {seconds:.1f} s"
    return Outcome(status >= 500 and seconds < 4, answer)


def sibling_of_too_long(start: Start) -> Outcome:
    server = start(Wish(workers=1, threads=4, timeout_s=2))
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(server.get, "/sleep/8", 15)
        time.sleep(1.5)
        healthy, _ = pool.submit(server.get, "/sleep/1.9", 15).result()
        stuck.result()
    return Outcome(healthy == 200, "answered" if healthy == 200 else "**lost**")


def term_exits(start: Start) -> Outcome:
    server = start(Wish())
    server.signal(signal.SIGTERM)
    begun = time.monotonic()
    ended = server.wait_until(lambda: not server.runs, 8.0)
    return Outcome(ended, f"exits after {time.monotonic() - begun:.1f} s" if ended else "**goes on serving**")


def term_with_queue(start: Start) -> Outcome:
    server = start(Wish(workers=1))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(server.connect(15)) for _ in range(8)]
        for sock in sockets:
            sock.sendall(b"GET /sleep/0.2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        answered = sum(read_response(sock)[0] == 200 for sock in sockets)
    return Outcome(answered == 8, f"{answered} of 8 answered")


def hangs_in_import(start: Start) -> Outcome:
    server = start(Wish(boot_timeout_s=2, timeout_s=0))

    def reload() -> None:
        server.deploy(b"v2", "time.sleep(3600)")
        server.signal(signal.SIGHUP)

    clients = _under_load(server, reload, after_s=6.0)
    return _survival(server, clients)


def _latency_beside(
    start: Start, occupy: Callable[[Server, contextlib.ExitStack], None], workers: int = 2
) -> Outcome:
    server = start(Wish(workers=workers))
    with contextlib.ExitStack() as stack:
        occupy(server, stack)
        time.sleep(0.3)
        begun = time.monotonic()
        status, _ = server.get(timeout_s=8)
        seconds = time.monotonic() - begun
    if status != 200:
        return Outcome(False, f"**no answer** in {seconds:.0f} s")
    return Outcome(seconds < 0.5, f"{seconds * 1000:.0f} ms")


def idle_sockets(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            stack.enter_context(server.connect())

    return _latency_beside(start, occupy)


def half_heads(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            stack.enter_context(server.connect()).sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-")

    return _latency_beside(start, occupy)


def unread_responses(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")

    return _latency_beside(start, occupy)


def busy_beside_idle(start: Start) -> Outcome:
    server = start(Wish(workers=2))
    stuck = 0
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.get, "/sleep/4", 15)
        time.sleep(0.3)
        for _ in range(10):
            begun = time.monotonic()
            server.get(timeout_s=8)
            stuck += time.monotonic() - begun > 0.5
        busy.result()
    return Outcome(stuck == 0, f"{stuck} of 10 wait")


def six_ttin(start: Start) -> Outcome:
    server = start(Wish(workers=1))
    before = len(list(session(server.process.pid)))
    for _ in range(6):
        server.signal(signal.SIGTTIN)
        # Of two that wait to be delivered the kernel keeps one (signal(7)): not a matter of the server.
        time.sleep(0.25)
    server.wait_until(lambda: len(list(session(server.process.pid))) >= before + 6, 4.0)
    if not server.runs:
        return Outcome(False, "**server gone**")
    more = len(list(session(server.process.pid))) - before
    return Outcome(more == 6, f"{more:+d} workers")


def killed_master(start: Start) -> Outcome:
    server = start(Wish())
    processes = list(session(server.process.pid))
    with Clients(server):
        time.sleep(0.3)
        server.process.kill()
        server.process.wait()
        begun = time.monotonic()
        gone = server.wait_until(lambda: not any(map(_lives, processes)), 20.0)
        seconds = time.monotonic() - begun
    if not gone:
        return Outcome(False, "**workers stay** (20 s)")
    server.process = server.start()
    again = server.wait_ready()
    text = f"workers gone after {seconds:.1f} s, next start {'succeeds' if again else '**fails**'}"
    return Outcome(again and seconds < 2, text)


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


def half_a_body(start: Start) -> Outcome:
    server = start(Wish())
    with server.connect() as sock:
        sock.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789")
        sock.shutdown(socket.SHUT_WR)
        status, body = read_response(sock)
    if status == 200:
        return Outcome(False, f"**200**, the application got {body.decode()} of 100 bytes")
    return Outcome(True, str(status or "closed"))


def no_host(start: Start) -> Outcome:
    server = start(Wish())
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        status, _ = read_response(sock)
    return Outcome(status == 400, str(status or "closed"))


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

        return _survival(server, _under_load(server, reload, after_s=7.0))


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


def term_twice(start: Start) -> Outcome:
    """A second TERM means now: a request of 30 s runs."""
    server = start(Wish(workers=1))
    with server.connect(15) as sock:
        sock.sendall(b"GET /sleep/30 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        begun = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            server.signal(signal.SIGTERM)
        ended = server.wait_until(lambda: not server.runs, 10.0)
    seconds = time.monotonic() - begun
    return Outcome(
        ended and seconds < 5, f"ends after {seconds:.1f} s" if ended else "**still there after 10 s**"
    )


def ready_when_it_serves(start: Start) -> Outcome:
    """systemd is told READY=1 when requests are answered, not before the application is imported (1 s)."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(f"{folder}/notify")
        inbox.settimeout(5.0)
        begun = time.monotonic()
        told: list[float] = []

        def listen() -> None:
            with contextlib.suppress(OSError):
                while b"READY=1" not in inbox.recv(4096).split(b"\n"):
                    pass
                told.append(time.monotonic() - begun)

        thread = threading.Thread(target=listen)
        thread.start()
        start(Wish(), before="time.sleep(1)", environment={"NOTIFY_SOCKET": f"{folder}/notify"})
        answers_s = time.monotonic() - begun
        thread.join()
    if not told:
        return Outcome(False, "never told")
    text = f"READY=1 after {told[0]:.1f} s, first response after {answers_s:.1f} s"
    return Outcome(told[0] > 1.0, text)


def out_of_descriptors(start: Start) -> Outcome:
    """80 connections, and each worker may open 20 more descriptors than it has; then the connections go."""
    server = start(Wish())
    before = server.workers()
    for pid in before:
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            with contextlib.suppress(OSError):
                stack.enter_context(server.connect(2)).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
    again = server.wait_until(lambda: server.get(timeout_s=2)[0] == 200, 10.0)
    if not again:
        return Outcome(False, "**no answers any more**")
    died = not server.workers() & before if len(before) == 1 else bool(before - server.workers())
    return Outcome(not died, "**a worker dies**" if died else "the same workers go on")


def short_response(start: Start) -> Outcome:
    """The application promises 100 bytes and gives 5; the next request was sent already."""
    server = start(Wish())
    with server.connect(3) as sock:
        sock.sendall(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        with contextlib.suppress(OSError):
            while more := sock.recv(65536):
                data += more
    if data.count(b"HTTP/1.1 ") > 1:
        return Outcome(False, "**the next response is read as the rest**")
    return Outcome(True, "closed")


def connection_options(start: Start) -> Outcome:
    """`Connection: close, TE`: a list, of which close is one."""
    server = start(Wish())
    with server.connect(2) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n")
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            return Outcome(False, "**stays open**")
        except OSError:
            pass
    return Outcome(True, "closed")


def invalid_requests(start: Start) -> Outcome:
    server = start(Wish())
    accepted = 0
    for request in INVALID:
        with server.connect(1.0) as sock:
            try:
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                head = sock.recv(4096)
            except OSError:
                continue
            accepted += head[9:10] == b"2"
    alive = server.get()[0] == 200
    return Outcome(not accepted and alive, f"{accepted} of {len(INVALID)} answered with 2xx")


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    key: str
    title: str
    run: Callable[[Start], Outcome] = field(repr=False)


ROWS = (
    Row("broken-release", "HUP, and the new code raises at import", broken_release),
    Row("broken-settings", "HUP, and the settings file is broken", broken_settings),
    Row("hang", "HUP, and the new code hangs at import", hangs_in_import),
    Row("slow-import", "HUP, and the new code takes 3 s to import", slow_import),
    Row("address", "HUP, and the settings name another address", another_address),
    Row("taken-address", "HUP, and the settings name an address that is taken", taken_address),
    Row("upgrade", "USR2 under load, with a new release", upgrade),
    Row("recycle-broken", "workers recycle while broken code lies on disk", recycle_while_broken),
    Row("recycle-slow", "the only worker recycles, boot takes 1.5 s", recycle_with_slow_boot),
    Row("crash-loop", "a worker dies, and its successors die at import", crash_loop),
    Row("timeout", "a request of 6 s, time limit 2 s", too_long),
    Row("sibling", "a healthy request beside one that exceeds its limit", sibling_of_too_long),
    Row("idle", "a request beside 4 silent connections, 2 workers", idle_sockets),
    Row("half-heads", "a request beside 4 half requests, 2 workers", half_heads),
    Row("unread", "a request beside 4 clients that do not read", unread_responses),
    Row("busy", "10 requests beside a busy and an idle worker", busy_beside_idle),
    Row("term", "TERM", term_exits),
    Row("term-twice", "TERM twice, with a request of 30 s", term_twice),
    Row("queue", "TERM with 8 requests waiting for one worker", term_with_queue),
    Row("ttin", "6 times TTIN", six_ttin),
    Row("master", "kill -9 of the master under load", killed_master),
    Row("notify", "systemd is told READY=1, import takes 1 s", ready_when_it_serves),
    Row("descriptors", "workers run out of descriptors", out_of_descriptors),
    Row("short-response", "a response shorter than its Content-Length, pipelined", short_response),
    Row("half-body", "a client sends half a body and leaves", half_a_body),
    Row("no-host", "a request without Host", no_host),
    Row("connection", "Connection: close, TE", connection_options),
    Row("invalid", f"{len(INVALID)} invalid requests", invalid_requests),
)
