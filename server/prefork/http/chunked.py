"""A body in the chunked transfer coding.

Owns: RFC 9112 section 7.1. Runs in: worker. Must not know where the bytes go.

Strict, because every leniency here (a bare LF, a sign, "0x", a space, an extension nobody reads to its end) has been
used to make two servers see two different requests.
"""

from __future__ import annotations

import enum
import re

from prefork.http.errors import ProtocolError, quoted
from prefork.http.limits import (
    MAX_CHUNK_EXTENSION,
    MAX_CHUNK_EXTENSIONS,
    MAX_CHUNK_SIZE_DIGITS,
    MAX_CHUNKS_A_TURN,
    MAX_TRAILER_BYTES,
    MAX_TRAILERS,
)
from prefork.http.names import key_of
from prefork.http.tokens import ALL_BYTES, CONTROLS, is_chunk_extension

_HEX_DIGITS = b"0123456789ABCDEFabcdef"
_split_size = re.compile(rb"([0-9A-Fa-f]+)(.*)", re.DOTALL).fullmatch
_MAX_SIZE_LINE = MAX_CHUNK_SIZE_DIGITS + MAX_CHUNK_EXTENSION

_NOT_IN_TRAILERS = frozenset({"HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH", "HTTP_HOST"})
"""Framing and routing MUST NOT be in a trailer (RFC 9110 section 6.5.1). We throw trailers away, but somebody in front
of us may not have."""


class _Stage(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILERS = enum.auto()
    COMPLETE = enum.auto()


_SIZE, _DATA, _DATA_END, _TRAILERS, _COMPLETE = _Stage


class ChunkedDecoder:
    """Feed it what comes, it gives back the content. `max_body` bounds the decoded bytes, 0 = unlimited."""

    __slots__ = (
        "_extension_bytes",
        "_held",
        "_max_body",
        "_missing",
        "_stage",
        "_trailer_bytes",
        "_trailers",
        "more",
        "rest",
        "total",
    )

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._stage = _SIZE
        self._held = b""  # the beginning of a line or of a chunk end; bounded as they are
        self._missing = 0  # bytes of the current chunk still to come
        self._extension_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self.total = 0
        """Bytes of content announced so far: the length of the body once it is complete."""
        self.rest = b""
        """Bytes behind the end of the body; empty before it."""
        self.more = False
        """What is here holds further chunks: `feed(b"")` goes on with them."""

    @property
    def complete(self) -> bool:
        return self._stage is _COMPLETE

    def feed(self, data: bytes) -> bytes:
        """The content in `data`: `data` itself, uncopied, when it lies within one chunk.

        Raises ProtocolError: 400, 413 as soon as a chunk size passes `max_body`, 431 for too many trailers.
        """
        if 0 < len(data) <= self._missing and not self._held:
            self._missing -= len(data)
            if not self._missing:
                self._stage = _DATA_END
            return data
        data = self._held + data
        self._held = b""
        pieces: list[bytes] = []
        at = 0
        turns = 2 * MAX_CHUNKS_A_TURN  # of the loop: a chunk takes two when its end came with it
        self.more = False
        while at < len(data) and self._stage is not _COMPLETE:
            turns -= 1
            if turns < 0:
                self._held = data[at:]
                self.more = True
                break
            if self._stage is _DATA:
                end = at + self._missing
                piece = data[at:end]
                pieces.append(piece)
                self._missing -= len(piece)
                if self._missing:
                    break
                if data[end : end + 2] == b"\r\n":
                    self._stage = _SIZE
                    end += 2
                else:
                    self._stage = _DATA_END
                at = end
            else:
                end = self._find_line_end(data, at)
                if end < 0:
                    self._held = data[at:]
                    break
                self._read_line(data[at:end])
                at = end + 2
        if self._stage is _COMPLETE:
            self.rest = data[at:]
        return b"".join(pieces)

    def _find_line_end(self, data: bytes, at: int) -> int:
        """Where the CR LF of the line at `at` is; -1 if it is not here yet and may still come."""
        if self._stage is _DATA_END:
            longest = 0
        elif self._stage is _SIZE:
            longest = _MAX_SIZE_LINE
        else:
            longest = MAX_TRAILER_BYTES - self._trailer_bytes
        end = data.find(b"\r\n", at, at + longest + 2)
        if end < 0:
            # Without its end the line can only go on if it is not too long already, and holds no bare LF
            # (RFC 9112 section 2.2 lets a recipient take LF alone; section 11.2 is why we do not).
            held = len(data) - at
            if self._stage is _DATA_END and data[at : at + 2] not in (b"", b"\r"):
                raise ProtocolError(400, f"chunk does not end in CR LF but {quoted(data[at : at + 2])}")
            if held > longest + 1:
                status = 431 if self._stage is _TRAILERS else 400
                raise ProtocolError(status, f"chunk size or trailer line too long {quoted(data[at:])}")
            if b"\n" in data[at:]:
                raise ProtocolError(400, f"bare LF in chunk size or trailer {quoted(data[at:])}")
        return end

    def _read_line(self, line: bytes) -> None:
        """A whole line, without its end."""
        if self._stage is _SIZE:
            self._missing = self._read_size(line)
            self._stage = _DATA if self._missing else _TRAILERS
        elif self._stage is _DATA_END:
            self._stage = _SIZE
        elif line:
            self._read_trailer(line)
        else:
            self._stage = _COMPLETE

    def _read_size(self, line: bytes) -> int:
        """`chunk-size [ chunk-ext ]`."""
        # Not `int(line, 16)` of whatever comes: that takes signs, white space, "_" and "0x".
        digits = line
        if not line or line.strip(_HEX_DIGITS):  # strip leaves nothing if there are only digits
            digits = self._skip_extension(line)
        if len(digits) > MAX_CHUNK_SIZE_DIGITS:
            raise ProtocolError(400, f"chunk size of {len(digits)} digits")
        size = int(digits, 16)
        self.total += size
        if 0 < self._max_body < self.total:
            raise ProtocolError(413, f"chunked body of more than {self._max_body} bytes")
        return size

    def _skip_extension(self, line: bytes) -> bytes:
        """The digits of a size line with extensions, which are checked and ignored (RFC 9112 section 7.1.1)."""
        match = _split_size(line)
        if match is None:
            raise ProtocolError(400, f"bad chunk size {quoted(line)}")
        digits: bytes = match[1]
        extension: bytes = match[2]
        self._extension_bytes += len(extension)
        if len(extension) > MAX_CHUNK_EXTENSION or self._extension_bytes > MAX_CHUNK_EXTENSIONS:
            raise ProtocolError(400, "chunk extensions too long")
        if not is_chunk_extension(extension):
            raise ProtocolError(400, f"bad chunk extension {quoted(extension)}")
        return digits

    def _read_trailer(self, line: bytes) -> None:
        """Trailer fields are checked like fields and forgotten (RFC 9110 section 6.5)."""
        self._trailers += 1
        self._trailer_bytes += len(line) + 2
        if self._trailers > MAX_TRAILERS or self._trailer_bytes > MAX_TRAILER_BYTES:
            raise ProtocolError(431, "trailer section too large")
        if len(line.translate(ALL_BYTES, CONTROLS)) != len(line):
            raise ProtocolError(400, f"control character in trailer {quoted(line)}")
        name, colon, _ = line.decode("latin-1").partition(":")
        if not colon:
            raise ProtocolError(400, f"trailer line without a colon {quoted(line)}")
        if key_of(name) in _NOT_IN_TRAILERS:
            raise ProtocolError(400, f"forbidden trailer {quoted(name)}")
