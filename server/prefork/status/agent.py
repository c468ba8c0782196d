"""What HAProxy's agent check is told: whether to send requests here, and how many in proportion.

Owns: the line, and the sockets it is written to. Runs in: status process, a thread of its own. Must not know: how the master is
asked.

HAProxy connects, reads one line and closes (configuration manual, "agent-check"): "ready" ends a drain that the agent had asked
for, "up" says what the health check says too, a percentage is taken of the weight that its configuration gives the server.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import threading
from collections.abc import Callable, Iterable

from prefork.ipc.status import Status
from prefork.status.readiness import unready

PATIENCE_S = 0.2
"""For a balancer to close after its line. One at a time: nobody else has to connect here."""

PAUSE_S = 0.5
"""After an accept that failed (out of descriptors)."""

DRAIN = b"drain\n"


def agent_line(status: Status | None) -> bytes:
    """The answer. None, the master does not answer: nobody new until it does."""
    if status is None or unready(status) is not None:
        return DRAIN
    return b"ready up %d%%\n" % weight_percent(status)


def weight_percent(status: Status) -> int:
    """The share of threads that are free, of all workers that accept; at least 1: 0 would be a drain.

    A server at rest is as free as can be.
    """
    accepting = [worker for worker in status.workers if worker.state == "accepting" and worker.threads]
    threads = sum(worker.threads for worker in accepting)
    if not threads:
        return 100
    free = sum(max(0, worker.threads - worker.busy) for worker in accepting)
    return max(1, math.ceil(100 * free / threads))


class Agent:
    """Answers on `listeners` until the process ends."""

    def __init__(self, listeners: Iterable[int], ask: Callable[[], Status | None]) -> None:
        self._listeners = [socket.socket(fileno=fd) for fd in listeners]
        self._ask = ask
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to listen on."""
        if self._listeners:
            self._thread.start()

    def close(self) -> None:
        """End the thread, and close the listeners."""
        self._closing.set()
        for listener in self._listeners:
            # Wakes the thread: a listener that is shut down is readable (accept(2): EINVAL).
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join()
        for listener in self._listeners:
            listener.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    self._accept(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            # A worker of another release, or nobody any more.
            return
        except OSError:
            self._closing.wait(PAUSE_S)
            return
        # Whoever has gone before the answer needs none.
        with connection, contextlib.suppress(OSError):
            answer(connection, self._ask())


def answer(connection: socket.socket, status: Status | None) -> None:
    """Say it, and let the other side close first: a close with unread bytes would take the line away (RFC 1122 4.2.2.13).

    Raises OSError.
    """
    connection.settimeout(PATIENCE_S)
    connection.sendall(agent_line(status))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(4096)
