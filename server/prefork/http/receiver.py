"""One connection's requests: bytes in, whole requests out.

Owns: what has arrived and is not yet a request, and what may come next. Runs in: worker. Must not know sockets, time
or how a body is stored (`BodySink`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from prefork.http.chunked import ChunkedDecoder
from prefork.http.errors import ProtocolError, quoted
from prefork.http.fixed import FixedDecoder
from prefork.http.head import parse_head
from prefork.http.limits import Limits
from prefork.http.request_line import RequestHead, read_request_line
from prefork.http.tokens import ALL_BYTES, CONTROLS, is_token


class BodySink(Protocol):
    """Where the content of one request goes. Made at its first byte."""

    def write(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


class DirectSink(BodySink, Protocol):
    """One that can also be received to without a detour."""

    def room(self, missing: int, /) -> list[memoryview] | None:
        """Where the next of `missing` bytes go; None: `write` wants them."""

    def filled(self, count: int, /) -> object:
        """So many have been received there."""


class Request(msgspec.Struct):
    """A whole request."""

    head: RequestHead
    environ: dict[str, Any]
    body: BodySink | None = None
    """None when there is no content."""
    begun: bytes | None = None
    """Not collected (see RequestReceiver): the content that came with the head. None: there is no body, or it is in `body`."""


class Expects(enum.Enum):
    """What a receiver waits for."""

    IDLE = enum.auto()
    """Nothing of a request is here."""
    HEAD = enum.auto()
    BODY = enum.auto()
    NOTHING = enum.auto()
    """The peer broke the protocol; nothing more will be read."""


_IDLE, _HEAD, _BODY, _NOTHING = (
    Expects  # an attribute of an enum costs a look-up that the hot path does not need
)
_HEAD_END = b"\r\n\r\n"
_CR = 0x0D
_NOTHING_TO_DECODE = FixedDecoder(0)
"""What stands there until there is a body; it is never fed."""


class RequestReceiver:
    """Feed it what arrives; it gives back requests, one at a time, head and body complete.

    With `new_body` None, bodies are not collected: a request is given as soon as its head is here, and `content` is to be fed
    what follows while `expects` is BODY. Nothing else but `eof` may be called before that ends.

    `base_environ` is copied for each request and must hold no HTTP_* or CONTENT_* key. After a ProtocolError the receiver
    is dead: every further call but `close` raises the same error. Errors of the sink pass through unchanged; the
    connection is then of no more use either.
    """

    __slots__ = (
        "_at",
        "_base",
        "_body",
        "_decoder",
        "_environ",
        "_error",
        "_head",
        "_limits",
        "_line_end",
        "_new_body",
        "_refused",
        "expects",
        "more",
        "pending",
        "wants_continue",
    )

    def __init__(
        self, limits: Limits, base_environ: dict[str, Any], new_body: Callable[[], BodySink] | None
    ) -> None:
        self._limits = limits
        self._base = base_environ
        self._new_body = new_body
        self.pending = b""
        """What is here of further requests: a partial head, or what came behind the last request. Read only: is there any?"""
        self._at = 0  # where in `pending` that begins
        self._line_end = -1  # where the request line of the partial head ends; -1: not here yet
        self._head: RequestHead | None = None  # of the request whose body is arriving,
        self._environ: dict[str, Any] = {}
        self._decoder: FixedDecoder | ChunkedDecoder = _NOTHING_TO_DECODE
        self._body: BodySink | None = None
        self._error: ProtocolError | None = None
        self._refused = b""  # how the request begins that was refused before its head was understood
        self.expects = _IDLE
        self.wants_continue = False
        """The client waits for "100 Continue" before it sends the body. Whoever sends that sets this to False."""
        self.more = False
        """The body goes on in what is already here, in very many pieces: `feed(b"")` when others have had their turn."""

    def feed(self, data: bytes) -> Request | None:
        """Take bytes just received; the request they complete, or None. What is behind it is kept for `next`.

        Raises ProtocolError.
        """
        try:
            if self.expects is _IDLE and not self.pending:
                end = data.find(_HEAD_END)
                if end > 0 and data[0] != _CR:
                    environ = self._base.copy()
                    head = parse_head(data[:end], self._limits, environ)
                    if end + 4 == len(data) and not (head.content_length or head.chunked):
                        return Request(head, environ)
                    return self._begin(head, environ, data, end + 4)
            return self._feed(data)
        except ProtocolError as error:
            self._die(error, data)
            raise

    def behind(self, head: RequestHead, environ: dict[str, Any], data: bytes, at: int) -> Request | None:
        """As `feed` for `data` that came between two requests, where somebody else has read the head, up to `at`, into `environ`.

        Raises ProtocolError.
        """
        try:
            return self._begin(head, environ, data, at)
        except ProtocolError as error:
            self._die(error, data)
            raise

    def room(self) -> list[memoryview] | None:
        """Where the next bytes of a body may be received to directly, instead of `feed`: only of a body, none of what follows it.

        None: nowhere, `feed` wants them. Errors of the sink pass through.
        """
        decoder = self._decoder
        if self.expects is not _BODY or type(decoder) is not FixedDecoder or not hasattr(self._body, "room"):
            return None
        return cast(DirectSink, self._body).room(decoder.missing)

    def filled(self, count: int) -> Request | None:
        """So many bytes, at least one, have been received there; the request they complete, or None."""
        decoder = self._decoder
        assert type(decoder) is FixedDecoder
        cast(DirectSink, self._body).filled(count)
        decoder.missing -= count
        return None if decoder.missing else self._complete()

    def missing(self) -> int:
        """Bytes still to come of a body of a known length that is being collected; 0: there is none such."""
        decoder = self._decoder
        collected = self.expects is _BODY and self._new_body is not None
        return decoder.missing if collected and type(decoder) is FixedDecoder else 0

    def sink(self) -> BodySink:
        """Where the body goes that is being collected."""
        if self._body is None:
            assert self._new_body is not None
            self._body = self._new_body()
        return self._body

    def all_but_fetched(self) -> Request:
        """The request whose missing bytes have arrived, and are fetched by others. Nothing may be fed before that is done."""
        decoder = self._decoder
        assert type(decoder) is FixedDecoder
        decoder.missing = 0
        return self._complete()

    def next(self) -> Request | None:
        """After a response: the next request if it is already here. Raises ProtocolError."""
        if self.pending or self._error is not None:
            return self.feed(b"")
        return None

    def content(self, data: bytes) -> bytes:
        """What is content in `data`, of a body that is not collected. Raises ProtocolError."""
        try:
            return self._decode(data)
        except ProtocolError as error:
            self._die(error)
            raise

    def eof(self) -> None:
        """The peer will send no more, and `next` has returned None.

        Raises ProtocolError (400) if that cuts a request short: an incomplete message must never reach an
        application as if it were whole (RFC 9112 section 8).
        """
        error = self._error
        if error is None:
            if self.expects is _IDLE:
                return
            part = "body" if self.expects is _BODY else "head"
            error = ProtocolError(400, f"the peer ended in the middle of a {part}")
            self._die(error)
        raise error

    def close(self) -> None:
        """Give up an unfinished body: the connection is going away."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def unfinished(self) -> tuple[str, dict[str, Any]]:
        """What is known of the request that is arriving, or was refused, for the log: its request line as it was sent, cut at the
        limit of those, and its environ, or if its head was not understood what all of the connection have."""
        if self._head is not None:
            return self._head.line, self._environ
        begun = self._refused or self.pending[self._at :]
        return self._line_in(begun).decode("latin-1"), self._base.copy()

    def _line_in(self, data: bytes) -> bytes:
        start = data[: self._limits.max_request_line + 4].removeprefix(b"\r\n")
        return start.partition(b"\r\n")[0][: self._limits.max_request_line]

    def _die(self, error: ProtocolError, data: bytes = b"") -> None:
        if self._head is None:
            begun = self.pending[self._at :]
            self._refused = self._line_in(begun if begun.endswith(data) else begun + data)
        self._error = error
        self.pending = b""
        self.expects = _NOTHING
        self.wants_continue = self.more = False
        self.close()

    def _feed(self, data: bytes) -> Request | None:
        """Every case but the common one: a piece of something, or something behind something else."""
        if self._error is not None:
            raise self._error
        if self.expects is _BODY:
            return self._feed_body(data)
        seen = len(self.pending) if self.expects is _HEAD else 0
        at = 0
        if not data:
            data, at = self.pending, self._at
        elif self.pending:
            data = self.pending[self._at :] + data
        # RFC 9112 section 2.2: "SHOULD ignore at least one empty line (CRLF) received prior to the request-line". One it
        # is: that is what clients which send a CRLF behind a body need, and nobody sends two.
        start = at
        if data.startswith(b"\r\n", at):
            at, seen = at + 2, 0
        end = data.find(_HEAD_END, max(at, at + seen - 3))
        if end > at:
            self.expects = _IDLE
            self._line_end = -1
            environ = self._base.copy()
            return self._begin(parse_head(data[at:end], self._limits, environ), environ, data, end + 4)
        if at == len(data):
            self.expects = _IDLE
            self.pending, self._at = data[start:], 0
        else:
            self.expects = _HEAD
            self.pending, self._at = data[at:], 0
            if self.pending != b"\r" or at > start:
                self._check_partial(self.pending, seen)
        return None

    def _check_partial(self, head: bytes, seen: int) -> None:
        """Refuse a head that cannot become valid any more, without waiting for its end.

        Somebody who speaks another protocol, or who sends without end, is told at once. The first `seen` bytes have
        been here before. Never refuses what `parse_head` would accept.
        """
        if not is_token(chr(head[0])):
            raise ProtocolError(400, f"not HTTP: {quoted(head)}")
        fresh = head[seen - 1 :] if seen and head[seen - 1] == _CR else head[seen:]
        controls = len(fresh) - len(fresh.translate(ALL_BYTES, CONTROLS)) - fresh.endswith(b"\r")
        if controls != 2 * fresh.count(b"\r\n"):
            raise ProtocolError(400, "control character, bare CR or bare LF in the head")
        if self._line_end < 0:
            self._line_end = head.find(b"\r\n", max(0, seen - 1))
            line = head[: self._line_end] if self._line_end >= 0 else head.rstrip(b"\r")
            if len(line) > self._limits.max_request_line:
                raise ProtocolError(414, f"request line of more than {self._limits.max_request_line} bytes")
            if self._line_end >= 0:
                read_request_line(line.decode("latin-1"), {})
        # Up to three bytes of what is here may belong to the end of the head.
        if self._line_end >= 0 and len(head) - self._line_end > self._limits.max_header_bytes + 3:
            raise ProtocolError(431, f"fields of more than {self._limits.max_header_bytes} bytes")

    def _begin(self, head: RequestHead, environ: dict[str, Any], data: bytes, at: int) -> Request | None:
        """A head is here; what is in `data` from `at` on is behind it."""
        if not (head.content_length or head.chunked):  # RFC 9112 section 6.3 item 7: no framing, no body
            self.pending, self._at = (data, at) if at < len(data) else (b"", 0)
            return Request(head, environ)
        if head.chunked:
            self._decoder = ChunkedDecoder(self._limits.max_body)
        else:
            length = head.content_length or 0
            if 0 < self._limits.max_body < length:
                self._head, self._environ = head, environ  # for `unfinished`
                raise ProtocolError(413, f"Content-Length {length} above {self._limits.max_body}")
            if length == len(data) - at and self._new_body is not None:  # all of it is here, and nothing else
                self.pending = b""
                self._body = body = self._new_body()
                body.write(data[at:])
                self._body = None
                return Request(head, environ, body)
            self._decoder = FixedDecoder(length)
        self._head, self._environ, self.pending = head, environ, b""
        self.wants_continue = head.expect_continue
        self.expects = _BODY
        if self._new_body is None:
            return Request(head, environ, None, self._decode(data[at:]))
        return self._feed_body(data[at:])

    def _decode(self, data: bytes) -> bytes:
        decoder = self._decoder
        content = decoder.feed(data)
        self.more = isinstance(decoder, ChunkedDecoder) and decoder.more
        if decoder.complete:
            self._head, self._environ = None, {}
            self.pending, self._at = decoder.rest, 0
            self.expects = _IDLE
            self.wants_continue = False
        return content

    def _feed_body(self, data: bytes) -> Request | None:
        decoder = self._decoder
        content = decoder.feed(data)
        if content:
            if self._body is None:
                assert self._new_body is not None
                self._body = self._new_body()
            self._body.write(content)
        if not decoder.complete or self._head is None:
            self.more = isinstance(decoder, ChunkedDecoder) and decoder.more
            return None
        return self._complete()

    def _complete(self) -> Request:
        """The body is here."""
        decoder = self._decoder
        assert self._head is not None
        if isinstance(decoder, ChunkedDecoder):  # the application gets the body decoded, and told its length
            del self._environ["HTTP_TRANSFER_ENCODING"]
            self._environ["CONTENT_LENGTH"] = str(decoder.total)
        request = Request(self._head, self._environ, self._body)
        self._head, self._environ, self._body = None, {}, None
        self.more = False
        self.pending, self._at = decoder.rest, 0
        self.expects = _IDLE
        self.wants_continue = False
        return request
