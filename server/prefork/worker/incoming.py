"""The body of a request that the application reads while it arrives (`[requests] buffer_body = false`).

Owns: waiting for more of it, in the thread of the request. The loop leaves the socket alone meanwhile: it belongs to the thread
that has the connection. Runs in the worker. Must not know: epoll, the application.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Expects, RequestReceiver
from prefork.http.response import CONTINUE
from prefork.ipc.seat import here
from prefork.worker.pace import extended
from prefork.wsgi.input import BodyError

RECV_BYTES = 64 * 1024

STEP_S = 1.0
"""Waiting is done in steps: an exception that another thread sets arrives between two of them (PyThreadState_SetAsyncExc)."""


class IncomingBody:
    """What `wsgi.input` asks for more."""

    __slots__ = (
        "_fd",
        "_receiver",
        "_recv",
        "_reserve_s",
        "_response_begun",
        "_s_per_byte",
        "_timeout_s",
        "_write",
    )

    def __init__(
        self,
        receiver: RequestReceiver,
        fd: int,
        recv: Callable[[int], bytes],
        write: Callable[[bytes], None],
        response_begun: Callable[[], bool],
        timeout_s: float,
        s_per_byte: float,
    ) -> None:
        """`recv` and `write` are those of the connection, `fd` is its socket; `timeout_s` is how long no byte may come,
        `s_per_byte` what each byte puts back into that time (`pace`). Only the time spent waiting counts."""
        self._receiver = receiver
        self._fd = fd
        self._recv = recv
        self._write = write
        self._response_begun = response_begun
        self._timeout_s = timeout_s
        self._reserve_s = timeout_s
        self._s_per_byte = s_per_byte

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
        while True:
            try:
                data = self._recv(RECV_BYTES)
            except BlockingIOError:
                if self._reserve_s <= 0:
                    raise BodyError(408, "the body of the request did not arrive in time") from None
                start = time.monotonic()
                self._wait(min(self._reserve_s, STEP_S))
                self._reserve_s -= time.monotonic() - start
                continue
            except OSError as error:
                raise BodyError(400, f"the client has gone: {error.strerror or error}") from None
            if not data:
                self._receiver.eof()
            self._reserve_s = extended(self._reserve_s, 0.0, self._timeout_s, len(data), self._s_per_byte)
            return data

    def _wait(self, timeout_s: float) -> None:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        poller.poll(timeout_s * 1000)
