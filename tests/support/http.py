"""A small HTTP/1.1 client over a raw socket: it hides nothing and reads exactly one response, no byte more.

`http.client` closes, retries and merges behind one's back; tests of a server need to see each of these.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from support.deadline import DEADLINE_S, SLOWNESS

Headers = Sequence[tuple[str, str]]


class ConnectionEndedError(AssertionError):
    """The server closed the connection before the response was complete."""


@dataclass
class Response:
    """One response; `interim` holds the status codes of the 1xx responses before it."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)

    def header(self, name: str, default: str | None = None) -> str | None:
        """First value of a header field, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def closes(self) -> bool:
        """Whether the server announced that this was the last response of the connection."""
        return "close" in (self.header("Connection") or "").lower()


def encode(
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | None = None,
    *,
    version: str = "HTTP/1.1",
    host: str | None = "test",
) -> bytes:
    """Bytes of one request. `target` goes out as it is; a body brings its Content-Length."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(parts: Iterable[bytes]) -> bytes:
    """A whole body in the chunked transfer coding (RFC 9112 section 7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Connection:
    """One connection to the server; every read has the deadline of the tests."""

    def __init__(self, sock: socket.socket, deadline_s: float = DEADLINE_S) -> None:
        self.sock = sock
        self.sock.settimeout(deadline_s * SLOWNESS)
        self._buffer = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes | None = None,
        *,
        version: str = "HTTP/1.1",
    ) -> Response:
        """Send one request and read its response; the connection stays open if the server leaves it so."""
        self.send(encode(method, target, headers, body, version=version))
        return self.read_response(method)

    def get(self, target: str, headers: Headers = ()) -> Response:
        return self.request("GET", target, headers)

    def read_response(self, method: str = "GET") -> Response:
        """One whole response to a request with that method (a HEAD has no body whatever its headers say)."""
        response = self.read_head()
        if method == "HEAD" or response.status in (204, 304):
            return response
        if (response.header("Transfer-Encoding") or "").lower() == "chunked":
            while chunk := self.read_chunk():
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
        elif (length := response.header("Content-Length")) is not None:
            response.body = self.read_exactly(int(length))
        else:
            response.body = self.read_to_end()
        return response

    def read_head(self) -> Response:
        """Status line and header fields of the next final response."""
        interim: list[int] = []
        while True:
            head = self._read_through(b"\r\n\r\n").decode("latin-1")
            status_line, *lines = head[:-4].split("\r\n")
            version, status, reason = (status_line + "  ").split(" ", 2)
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            if 100 <= int(status) < 200:
                interim.append(int(status))
                continue
            return Response(version, int(status), reason.strip(), headers, interim=interim)

    def read_chunk(self) -> bytes:
        """The next chunk of a chunked body as it comes; empty at its end (trailers are read away)."""
        size = int(self._read_through(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while self._read_through(b"\r\n") != b"\r\n":
                pass
            return b""
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n", "a chunk must end with CRLF"
        return data

    def read_exactly(self, size: int) -> bytes:
        parts = [self._buffer[:size]]
        missing = size - len(parts[0])
        self._buffer = self._buffer[size:]
        while missing:
            data = self.sock.recv(min(missing, 1 << 20))
            if not data:
                raise ConnectionEndedError(f"closed with {missing} of {size} bytes missing")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def read_to_end(self) -> bytes:
        """Everything until the server closes."""
        parts, self._buffer = [self._buffer], b""
        while data := self.sock.recv(1 << 20):
            parts.append(data)
        return b"".join(parts)

    def ended(self) -> bool:
        """Wait until the server closes: True if it did so without another byte."""
        try:
            return not self._buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _read_through(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionEndedError(f"closed after {self._buffer!r}")
            self._buffer += data
        found, self._buffer = self._buffer.split(mark, 1)
        return found + mark


def connect(address: str, *, receive_buffer: int | None = None) -> Connection:
    """Connect to an address as prefork writes it: `127.0.0.1:8000`, `[::1]:8000` or `unix:/run/x.sock`.

    A small `receive_buffer` (bytes, set before connecting, tcp(7)) makes a client that takes little.
    """
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        target: str | tuple[str, int] = address.removeprefix("unix:")
    else:
        host, _, port = address.rpartition(":")
        sock = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        target = (host.strip("[]"), int(port))
    try:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE_S * SLOWNESS)
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return Connection(sock)
