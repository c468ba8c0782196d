"""A whole worker in a process of its own, with the master's end of its channel here: ready, serve, drain, leave."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from subprocess import Popen

import pytest

from prefork.ipc.channel import Channel, ChannelClosed
from prefork.ipc.messages import Drain, Message, Stop, WorkerFailed, WorkerLeaving, WorkerReady
from support.child import child
from support.deadline import DEADLINE_S, SLOWNESS, Deadline
from support.wire import parse_answer

WAIT_S = DEADLINE_S * SLOWNESS

GET = b"GET /%b HTTP/1.1\r\nHost: t\r\n%b\r\n"

WORKER = """
    import os, sys, time
    import msgspec
    from prefork.ipc.channel import Channel
    from prefork.observe.log import Log
    from prefork.settings.model import Settings
    from prefork.worker.boot import WorkerBoot
    from prefork.worker.main import run

    channel, listener, address, threads, target = sys.argv[1:]

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/slow":
            time.sleep(0.3)
        if path == "/exit":
            raise SystemExit(9)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{path} {os.getpid()} {environ['wsgi.multithread']}".encode()]

    settings = msgspec.convert(
        {
            "app": {"target": target},
            "server": {"listen": [{"address": address}]},
            "workers": {"threads": int(threads), "count": 2},
            "requests": {"keepalive_timeout": 1.0},
        },
        Settings,
    )
    run(
        WorkerBoot(
            settings=settings,
            worker_id=7,
            slot=1,
            generation=1,
            master_pid=os.getppid(),
            channel=Channel.from_fd(int(channel)),
            listeners=((int(listener), address),),
            application=app if target == "given" else None,
            log=Log(2, "warning"),
            access_fd=None,
        )
    )
    print("left", flush=True)
"""


@dataclass
class Worker:
    """A worker's process, the other end of its channel, and its listener."""

    process: Popen[str]
    channel: Channel
    address: tuple[str, int]

    def hear(self) -> Message:
        """The next message."""
        deadline = Deadline()
        while (received := self.channel.receive()) is None:
            assert self.channel.wait(deadline.remaining()), "no message in time"
        return received.message

    def connect(self, raw: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=WAIT_S)
        if raw:
            client.sendall(raw)
        return client

    def leave(self) -> str:
        """Waits for its end; what it printed."""
        output, _ = self.process.communicate(timeout=WAIT_S)
        return output


@contextmanager
def worker(threads: int = 1, target: str = "given") -> Iterator[Worker]:
    ours, theirs = Channel.pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        host, port = listener.getsockname()
        fds = (theirs.fileno(), listener.fileno())
        arguments = (*fds, f"{host}:{port}", threads, target)
        with child(WORKER, *arguments, pass_fds=fds) as process:
            theirs.close()
            try:
                yield Worker(process, ours, (host, port))
            finally:
                ours.close()


def read_all(client: socket.socket) -> bytes:
    with client:
        received = b""
        while data := client.recv(65536):
            received += data
        return received


CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize("threads", [1, 4])
def test_ready_serve_drain_leave(threads: int) -> None:
    with worker(threads) as made:
        assert made.hear() == WorkerReady(worker_id=7)
        answer = parse_answer(read_all(made.connect(GET % (b"a", CLOSE))))
        assert answer.body.decode() == f"/a {made.process.pid} {threads > 1}"
        waiting = made.connect(GET % (b"b", b""))
        assert parse_answer(waiting.recv(65536), closed=False).body.startswith(b"/b ")
        slow = made.connect(GET % (b"slow", b""))
        made.channel.send(Drain(reason="reload", backlog=[listener_fd(made)]))
        assert parse_answer(read_all(slow)).status == 200
        assert waiting.recv(1) == b""  # by its own time limit
        waiting.close()
        assert made.hear() == WorkerLeaving(worker_id=7, reason="reload", requests=3)
        with pytest.raises(ChannelClosed):
            made.hear()
        assert made.leave() == "left\n"


@pytest.mark.parametrize("threads", [1, 4])
def test_a_stop_answers_the_backlog(threads: int) -> None:
    with worker(threads) as made:
        made.hear()
        busy = made.connect(GET % (b"slow", CLOSE))
        waiting = [made.connect(GET % (b"%d" % number, b"")) for number in range(8)]
        made.channel.send(Drain(reason="stop", backlog=[listener_fd(made)]))
        assert parse_answer(read_all(busy)).body.startswith(b"/slow ")
        for number, client in enumerate(waiting):
            assert parse_answer(read_all(client)).body.startswith(b"/%d " % number)
        assert made.hear() == WorkerLeaving(worker_id=7, reason="stop", requests=9)
        assert made.leave() == "left\n"


def listener_fd(made: Worker) -> int:
    """The number under which the worker inherited its listener."""
    arguments = Path(f"/proc/{made.process.pid}/cmdline").read_bytes().split(b"\0")
    return int(arguments[4])


@pytest.mark.parametrize("threads", [1, 4])
def test_a_fast_stop_ends_idle_connections(threads: int) -> None:
    with worker(threads) as made:
        made.hear()
        idle = made.connect(GET % (b"a", b""))
        assert b"200 OK" in idle.recv(65536)
        made.channel.send(Stop(reason="stop"))
        assert read_all(idle) == b""
        assert made.hear() == WorkerLeaving(worker_id=7, reason="stop", requests=1)
        assert made.leave() == "left\n"


@pytest.mark.parametrize("threads", [1, 4])
def test_the_death_of_the_master(threads: int) -> None:
    with worker(threads) as made:
        made.hear()
        made.channel.close()
        assert made.leave() == "left\n"


@pytest.mark.parametrize("threads", [1, 4])
def test_sigterm_drains(threads: int) -> None:
    with worker(threads) as made:
        made.hear()
        slow = made.connect(GET % (b"slow", b""))
        other = made.connect(GET % (b"a", CLOSE))
        parse_answer(read_all(other))
        os.kill(made.process.pid, signal.SIGTERM)
        assert parse_answer(read_all(slow)).status == 200
        assert made.hear() == WorkerLeaving(worker_id=7, reason="signal", requests=2)
        made.leave()


@pytest.mark.parametrize("threads", [1, 4])
def test_system_exit_in_the_application_ends_one_response(threads: int) -> None:
    with worker(threads) as made:
        made.hear()
        assert parse_answer(read_all(made.connect(GET % (b"exit", CLOSE)))).status == 500
        assert parse_answer(read_all(made.connect(GET % (b"a", CLOSE)))).status == 200


def test_the_date_is_of_now_after_a_quiet_time() -> None:
    with worker() as made:
        made.hear()
        dates = []
        for _ in range(2):
            answer = parse_answer(read_all(made.connect(GET % (b"a", CLOSE))))
            date = answer.one("date")
            assert date is not None
            dates.append(parsedate_to_datetime(date.decode()))
            if len(dates) < 2:
                wait_for_the_clock()
        assert (dates[1] - dates[0]).total_seconds() >= 1


def wait_for_the_clock() -> None:
    """Until the second after the next has begun: there is no event for that."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(2.1)
        with pytest.raises(TimeoutError):
            reader.recv(1)


def test_an_application_that_does_not_import_is_reported() -> None:
    with worker(target="no_such_module_here:app") as made:
        message = made.hear()
        assert isinstance(message, WorkerFailed)
        assert (message.worker_id, message.stage) == (7, "import")
        assert "no_such_module_here" in message.error
        assert made.leave() == "left\n"
