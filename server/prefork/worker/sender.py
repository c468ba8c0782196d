"""The sending side of a connection: what the socket takes now, and what waits for it.

Owns: the order of the bytes, the bound on one turn. Runs in the worker: whoever owns the connection, one thread at a time.
Must not know: phases, deadlines, epoll; where a response comes from.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from prefork.ipc.seat import Seat, here
from prefork.worker.outbox import Outbox
from prefork.worker.takeover import ANSWERED, Claim
from prefork.worker.transport import Transport
from prefork.wsgi.filewrapper import FileSpan
from prefork.wsgi.response import ClientGoneError, Output, Response

TURN_BYTES = 256 * 1024
"""Most that one turn sends for one connection: a client that reads as fast as the application writes must not hold the loop."""


class Sender:
    """Sends to one socket, in order."""

    __slots__ = ("_outbox", "_sock", "claim")

    def __init__(self, sock: Transport) -> None:
        self._sock = sock
        self.claim: Claim | None = None
        """The right to use the socket, for a thread from which the loop may take that away (see `takeover`).

        Taken before the first byte of a response, and kept."""
        self._outbox = Outbox()

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return self._outbox.empty

    def flush(self) -> bool:
        """Sends what waits. True: all is out. Raises OSError when the peer is gone, or a file or our disk fails."""
        return self._outbox.send(self._sock)

    @property
    def oversized(self) -> bool:
        """More waits in memory than may stay there."""
        return self._outbox.oversized

    def spill(self, most: int) -> bool:
        """Moves at most `most` bytes of it to a file. True: there is more. Raises OSError."""
        return self._outbox.spill(most)

    def clear(self) -> None:
        """What waits will not be sent."""
        self._outbox.clear()

    def pump(self, response: Response, pull: Callable[[Response], Output | None], seat: Seat) -> bool:
        """Sends until the body ends (True), or the socket is full or the turn over (False). Raises OSError when nobody reads."""
        outbox, send = self._outbox, self._sock.send
        if not outbox.empty and not outbox.send(self._sock):
            return False
        left = TURN_BYTES
        claim = self.claim
        while not response.done and (output := pull(response)) is not None:
            if claim is not None and not claim.take():
                raise ConnectionAbortedError(ANSWERED)
            if not outbox.empty:
                # write() or an interim response inside of `pull` did not go out entirely: this comes behind it.
                self._put_behind(output)
                return False
            if type(output) is bytes:
                try:
                    sent = send(output)
                except BlockingIOError:
                    sent = 0
                if sent < len(output):
                    outbox.add(memoryview(output)[sent:])
                    return False
                if response.done:
                    return True
                left -= sent
            elif self._send_slow(output):
                left -= (
                    sum(map(len, output))
                    if isinstance(output, tuple) and not isinstance(output, FileSpan)
                    else 0
                )
            else:
                return False
            if not response.done:
                if left <= 0:
                    return False
                seat.progress()
        return outbox.empty or outbox.send(self._sock)

    def _put_behind(self, output: Output) -> None:
        if isinstance(output, FileSpan):
            self._outbox.add_file(output)
        else:
            for piece in (output,) if isinstance(output, bytes) else output:
                self._outbox.add(piece)

    def _send_slow(self, output: Output) -> bool:
        outbox = self._outbox
        if isinstance(output, FileSpan):
            outbox.add_file(output)
            return outbox.send(self._sock)
        try:
            sent = self._sock.sendmsg(output)  # type: ignore[arg-type]
        except BlockingIOError:
            sent = 0
        complete = True
        for piece in output:
            assert isinstance(piece, bytes)
            if sent >= len(piece):
                sent -= len(piece)
            else:
                outbox.add(memoryview(piece)[sent:])
                sent = 0
                complete = False
        return complete

    def write_through(self, data: bytes) -> None:
        """PEP 3333 write() and interim responses: send what the socket takes, keep the rest. Raises ClientGoneError, or OSError
        when the rest cannot be kept."""
        if self.claim is not None and not self.claim.take():
            raise ClientGoneError(ANSWERED)
        outbox = self._outbox
        sent = 0
        if outbox.empty:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ClientGoneError(*error.args) from None
        if sent < len(data):
            try:
                outbox.add(memoryview(data)[sent:])
            except OSError:
                # An application that goes on all the same must not send a response with a hole in it.
                self._sock.shutdown(socket.SHUT_RDWR)
                raise
        here.seat.progress()

    def send_now(self, data: bytes) -> None:
        """A short answer of our own. Loop thread, while no request runs."""
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the client is gone; whatever comes next finds out
        if sent < len(data):
            self._outbox.add(memoryview(data)[sent:])
