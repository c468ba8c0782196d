"""The body of a request that the application reads while it arrives (`[requests] buffer_body = false`).

Owns: waiting for more of it, in the thread of the request. The loop leaves the socket alone meanwhile: it belongs to the thread
that has the connection. Runs in the worker. Must not know: epoll, the application.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Expects, RequestReceiver
from prefork.http.response import CONTINUE
from prefork.ipc.seat import here
from prefork.wsgi.input import BodyError

RECV_BYTES = 64 * 1024

STEP_S = 1.0
"""Waiting is done in steps: an exception that another thread sets arrives between two of them (PyThreadState_SetAsyncExc)."""


class IncomingBody:
    """What `wsgi.input` asks for more."""

    __slots__ = ("_fd", "_receiver", "_recv", "_response_begun", "_timeout_s", "_write")

    def __init__(
        self,
        receiver: RequestReceiver,
        fd: int,
        recv: Callable[[int], bytes],
        write: Callable[[bytes], None],
        response_begun: Callable[[], bool],
        timeout_s: float,
    ) -> None:
        """`recv` and `write` are those of the connection, `fd` is its socket; `timeout_s` is how long no byte may come."""
        self._receiver = receiver
        self._fd = fd
        self._recv = recv
        self._write = write
        self._response_begun = response_begun
        self._timeout_s = timeout_s

    def unread(self) -> bool:
        """Some of it is still to come: the connection cannot serve another request."""
        return self._receiver.expects is not Expects.IDLE

    def receive(self) -> bytes:
        """More content, b"" at the end of the body. Raises BodyError; ClientGoneError if the client cannot be asked for it."""
        receiver = self._receiver
        if receiver.wants_continue:
            if self._response_begun():
                # "100 Continue" behind a final response would be taken for the beginning of the next one.
                raise BodyError(400, "the body was not asked for before the response began")
            receiver.wants_continue = False
            self._write(CONTINUE)
        while receiver.expects is Expects.BODY:
            try:
                content = receiver.content(b"" if receiver.more else self._arrived())
            except ProtocolError as error:
                raise BodyError(error.status, error.detail) from None
            if content:
                here.seat.progress()
                return content
        if receiver.expects is Expects.NOTHING:
            raise BodyError(400, "the body was malformed")
        return b""

    def _arrived(self) -> bytes:
        """Bytes from the socket, waiting for them. Raises BodyError, and ProtocolError at the end of the connection."""
        waited_s = 0.0
        while True:
            try:
                data = self._recv(RECV_BYTES)
            except BlockingIOError:
                if waited_s >= self._timeout_s:
                    raise BodyError(408, "the body of the request did not arrive in time") from None
                step_s = min(self._timeout_s - waited_s, STEP_S)
                if not self._wait(step_s):
                    waited_s += step_s
                continue
            except OSError as error:
                raise BodyError(400, f"the client has gone: {error.strerror or error}") from None
            if not data:
                self._receiver.eof()
            return data

    def _wait(self, timeout_s: float) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
