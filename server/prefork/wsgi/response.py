"""One response: what the application does with `start_response`, and the bytes that follow from it.

Owns: the WSGI contract of a response (PEP 3333: start_response, write, exc_info, lazy iteration, close), its framing and its
accounting against Content-Length. The body is *pulled*: whoever sends calls `pull` when the socket has room, so an application
is never further ahead of a slow reader than one item. Runs in the worker, in the thread that has the request. Must not know:
sockets, epoll, which executor runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Protocol

import msgspec

from prefork.http.response import LAST_CHUNK, ResponseHead, build_head, early_hints
from prefork.http.response import chunk as chunk_of
from prefork.wsgi.filewrapper import FileSpan, FileWrapper

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
Output = bytes | tuple[bytes, ...] | FileSpan

GATHER_BYTES = 32 * 1024
"""Pieces above this are sent beside their head (sendmsg), below it a copy is cheaper than a second buffer."""

JOIN_BYTES = 64 * 1024
"""A list of chunks up to this total goes out as one."""

LAST_LINES = b"Connection: close\r\n\r\n"

_BODYLESS = frozenset((204, 304))
"""See `ResponseHead.has_body`; 1xx are no final responses."""


class Stamp(Protocol):
    """What every response shares: header lines, refreshed by the worker's loop once a second, and whether connections go on."""

    date: bytes
    server: bytes
    both: bytes
    closing: bool
    """No connection is to live past its present response."""


class ApplicationError(Exception):
    """The application broke the WSGI contract; the text says how."""


class ClientGoneError(ConnectionError):
    """Raised out of write() when nobody reads any more, so that the application stops; it is nobody's mistake."""


class Response(msgspec.Struct, eq=False):
    """The response to one request. All methods: only the thread that has the request.

    A struct because it is made three times as fast as a class with `__init__`, once for each request.
    """

    _stamp: Stamp
    _write_out: Callable[[bytes], None]
    _minor: int
    _head_only: bool
    keep_alive: bool
    """The connection may serve another request after this response."""
    done: bool = False
    """Nothing more will come out of `pull`."""
    head_sent: bool = False
    status: int = 500
    """The status code, 500 when there is none."""
    body_bytes: int = 0
    problem: str = ""
    """What the application did wrong although an answer went out (body shorter or longer than declared)."""
    _head: ResponseHead | None = None
    _iterable: Iterable[bytes] = ()
    _iterator: Iterator[Any] | None = None
    _remaining: int | None = None
    _chunked: bool = False
    unread: Callable[[], bool] | None = None
    """With a body that is read as it arrives: whether some of it is still to come. The connection then ends with the response."""
    later: list[Callable[[], object]] | None = None
    """What `prefork.after_response` was given."""
    line: str = ""
    """The request line, if there is something `later`."""
    ended: bool = False
    """The response is over."""

    # What the application calls ---------------------------------------------------------------------------------

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333 start_response. Raises ApplicationError, InvalidResponseError, or the error in `exc_info`."""
        if exc_info is not None:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no reference cycle through the traceback (PEP 3333, "Error Handling")
        elif self._head is not None:
            raise ApplicationError("start_response was called twice without exc_info")
        if self.done:
            raise ApplicationError("start_response was called after the response had ended")
        self._head = head = build_head(status, headers)
        self.status = head.status
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333 write(): the bytes are on their way, or safely buffered, when this returns."""
        if self.done or self._head is None:
            raise ApplicationError("write() was called outside of its response")
        if type(data) is not bytes:
            raise ApplicationError(f"write() takes bytes, not {type(data).__name__}")
        if not data:
            return
        head = b"" if self.head_sent else self._render_head(None)
        self._write_out(head + _joined(self._frame(data)))

    def early_hints(self, headers: list[tuple[str, str]]) -> None:
        """`wsgi.early_hints`: sends a 103 interim response (RFC 8297); HTTP/1.0 clients know none."""
        if self._minor and not self.head_sent and not self.done:
            self._write_out(early_hints(headers))

    # What the sender calls --------------------------------------------------------------------------------------

    def begin(self, iterable: Iterable[bytes]) -> None:
        """Takes what the application returned."""
        self._iterable = iterable

    def pull(self) -> Output | None:
        """The next bytes to send, None at the end. Raises whatever the application raises, or ApplicationError."""
        if self.done:
            return None
        iterator = self._iterator
        if iterator is None:
            output = self._first()
            if output is not None:
                return output
            iterator = self._iterator
            assert iterator is not None
        while True:
            try:
                data = next(iterator)
            except StopIteration:
                return self._finish()
            if type(data) is FileSpan:
                if self.head_sent:
                    return self._fit(data)
                self._iterator = chain((data,), iterator)
                return self._render_head(None)
            if type(data) is not bytes:
                raise ApplicationError(
                    f"the body must be an iterable of bytes, it gave {type(data).__name__}"
                )
            if data:
                if self.head_sent:
                    framed = self._frame(data)
                    # Nothing to frame: beyond the declared length, or no body at all. "should stop iterating over the response
                    # when enough data has been sent" (PEP 3333, "Handling the Content-Length Header").
                    return framed or self._finish()
                return self._with_head(data, None)

    def fail(self, status: str = "500 Internal Server Error") -> bool:
        """The application raised. True: `status` takes the place of its response; False: too late, cut the connection."""
        self.close_quietly()
        if self.head_sent:
            self.keep_alive = False
            self.done = True
            return False
        self.done = False
        self._head = build_head(status, [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
        self.status = self._head.status
        self._iterator = None
        self._iterable = [f"{status}\n".encode()]
        return True

    def lose(self, error: ClientGoneError) -> None:
        """The client went away inside the application: `pull` raises `error`."""
        self.close_quietly()
        self.keep_alive = False
        self.done = False
        self._iterator = _raising(error)

    def close(self) -> None:
        """Calls the iterable's close() if it has one (PEP 3333); the caller calls this once. Raises what that raises."""
        iterable, self._iterable = self._iterable, ()
        self.done = True
        kind = type(iterable)
        if kind is not tuple and kind is not list and hasattr(iterable, "close"):
            iterable.close()

    def close_quietly(self) -> None:
        """close() after an error that is already being reported: a second one from close() would hide the first."""
        try:
            self.close()
        except BaseException as error:  # noqa: BLE001 - application code; noted, then dropped on purpose
            self.problem = f"close() raised {type(error).__name__}: {error}"

    # Framing ----------------------------------------------------------------------------------------------------

    def _first(self) -> Output | None:
        """The first output where the whole body is at hand (list, file); otherwise sets the iterator and gives None."""
        body = self._iterable
        kind = type(body)
        if kind is list or kind is tuple:
            if len(body) == 1:  # type: ignore[arg-type]
                (data,) = body
                if type(data) is bytes and not self.head_sent:
                    self._iterable = ()  # has no close(); and a slow reader need not keep it: what is not sent is in the outbox
                    return self._whole(data)
            elif all(type(data) is bytes for data in body) and not self.head_sent:
                total = sum(map(len, body))
                if total <= JOIN_BYTES:
                    return self._whole(b"".join(body))
                self._iterator = iter(body)
                return self._render_head(total)
        elif kind is FileWrapper and not self.head_sent:
            span = body.span()  # type: ignore[attr-defined]
            if span is not None:
                return self._first_of_file(span)
        if body is None or isinstance(body, bytes | str):  # the last two are iterables, of what is no body
            raise ApplicationError(f"the application must return an iterable of bytes, not {kind.__name__}")
        self._iterator = iter(body)
        return None

    def _whole(self, data: bytes) -> Output:
        length = len(data)
        head, stamp = self._head, self._stamp
        if (
            head is not None
            and head.content_length == length <= GATHER_BYTES
            and self._minor
            and head.status not in _BODYLESS
            and not (self._head_only or head.close or head.has_date or head.has_server or stamp.closing)
            and self.unread is None
        ):
            # What the rest of this comes to where nothing else is to be said: for most responses.
            self.head_sent = self.done = True
            self.body_bytes = length
            return b"".join((head.block, stamp.both, b"\r\n" if self.keep_alive else LAST_LINES, data))
        return self._whole_of_any_kind(data, length)

    def _whole_of_any_kind(self, data: bytes, length: int) -> Output:
        head = self._render_head(length)
        self.done = True
        if self._remaining != length or self._bodyless() or length > GATHER_BYTES:
            return self._unlike(head, data)
        self.body_bytes = length
        return head + data

    def _unlike(self, head: bytes, data: bytes) -> Output:
        """A whole body that is no body, large, or of another length than was declared."""
        if self._bodyless():
            return head
        framed = self._frame(data)
        self._check_length()
        return (head, framed) if type(framed) is bytes else (head, *framed)

    def _first_of_file(self, span: FileSpan) -> Output:
        self._iterator = iter((span,))
        return self._render_head(span.length)

    def _fit(self, span: FileSpan) -> FileSpan | None:
        """`span` as far as the declared length goes; None: that is reached. (Whoever gives spans has declared one.)"""
        assert self._remaining is not None
        count = 0 if self._bodyless() else min(span.length, self._remaining)
        if not count:
            self.done = True
            return None
        self._remaining -= count
        self.body_bytes += count
        return FileSpan(span.fd, span.offset, count)

    def _bodyless(self) -> bool:
        return self._head_only or (self._head is not None and not self._head.has_body)

    def _with_head(self, data: bytes, known_length: int | None) -> Output:
        head = self._render_head(known_length)
        if self._bodyless():
            self.done = True
            return head
        framed = self._frame(data)
        if type(framed) is bytes and len(framed) <= GATHER_BYTES:
            return head + framed
        return (head, framed) if type(framed) is bytes else (head, *framed)

    def _render_head(self, known_length: int | None) -> bytes:
        """The head as bytes; decides the framing (RFC 9112 section 6.3) and whether the connection lives on."""
        head = self._head
        if head is None:
            raise ApplicationError("the application returned without calling start_response")
        self.head_sent = True
        framing = b""
        if not head.has_body:
            self._remaining = 0
        elif head.content_length is not None:
            self._remaining = head.content_length
        elif known_length is not None and (known_length or not self._head_only):
            # Nothing in answer to HEAD does not mean that GET has nothing (RFC 9110 section 8.6).
            self._remaining = known_length
            framing = b"Content-Length: %d\r\n" % known_length
        elif self._head_only:
            pass
        elif self._minor:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        stamp = self._stamp
        if head.close or stamp.closing or (self.unread is not None and self.unread()):
            self.keep_alive = False
        if not self.keep_alive:
            framing += b"Connection: close\r\n"
        elif not self._minor:
            framing += b"Connection: keep-alive\r\n"
        lines = stamp.both
        if head.has_date or head.has_server:
            lines = (b"" if head.has_server else stamp.server) + (b"" if head.has_date else stamp.date)
        return head.block + lines + framing + b"\r\n"

    def _frame(self, data: bytes) -> bytes | tuple[bytes, ...]:
        """`data` as it goes on the wire after the head; empty when it lies beyond the declared length."""
        if self._chunked:
            self.body_bytes += len(data)
            if len(data) > GATHER_BYTES:
                return (b"%x\r\n" % len(data), data, b"\r\n")
            return chunk_of(data)
        remaining = self._remaining
        if remaining is not None:
            if len(data) > remaining:
                if not self._bodyless():
                    self.problem = "the body is longer than its Content-Length: cut"
                data = data[:remaining]
            self._remaining = remaining - len(data)
        if self._head_only:
            return b""
        self.body_bytes += len(data)
        return data

    def _finish(self) -> Output | None:
        if not self.head_sent:
            head = self._render_head(0)
            self._check_length()
            self.done = True
            return head
        self.done = True
        self._check_length()
        return LAST_CHUNK if self._chunked else None

    def _check_length(self) -> None:
        if self._remaining and not self._bodyless():
            # The client waits for bytes that will never come, and would take the next response for them.
            self.problem = (
                f"the body is {self._remaining} bytes shorter than its Content-Length: connection closed"
            )
            self.keep_alive = False


def _raising(error: ClientGoneError) -> Iterator[bytes]:
    raise error
    yield b""


def _joined(pieces: bytes | tuple[bytes, ...]) -> bytes:
    return pieces if isinstance(pieces, bytes) else b"".join(pieces)
