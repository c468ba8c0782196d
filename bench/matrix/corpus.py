"""Requests that no server may answer as if they were right: each breaks a rule of RFC 9112 or 9110 that another server on the way
may see differently, which is how requests are smuggled.
"""

from __future__ import annotations

_HEADS = (
    # The request line (RFC 9112 section 3).
    "GET",
    "GET /",
    "GET  / HTTP/1.1\r\nHost: x",
    "GET /\tHTTP/1.1\r\nHost: x",
    "GET / HTTP/1.1 \r\nHost: x",
    "GET / HTTP/2.0\r\nHost: x",
    "GET / HTTP/1.x\r\nHost: x",
    "GET / HTTP/11\r\nHost: x",
    "GET / HTTP/01.1\r\nHost: x",
    "GET / http/1.1\r\nHost: x",
    "GET / HTTP /1.1\r\nHost: x",
    "GET / XTTP/1.1\r\nHost: x",
    "G(T / HTTP/1.1\r\nHost: x",
    "G\x00T / HTTP/1.1\r\nHost: x",
    "GET /\x00 HTTP/1.1\r\nHost: x",
    "GET /\x7f HTTP/1.1\r\nHost: x",
    "GET /a b HTTP/1.1\r\nHost: x",
    # Field lines (RFC 9112 section 5).
    "GET / HTTP/1.1\r\nHost : x",
    "GET / HTTP/1.1\r\nHost: x\r\nA : b",
    "GET / HTTP/1.1\r\nHost: x\r\nA\t: b",
    "GET / HTTP/1.1\r\nHost: x\r\n: b",
    "GET / HTTP/1.1\r\nHost: x\r\nA",
    "GET / HTTP/1.1\r\nHost: x\r\nA b: c",
    "GET / HTTP/1.1\r\nHost: x\r\nA(: c",
    "GET / HTTP/1.1\r\nHost: x\r\nA\x00: c",
    "GET / HTTP/1.1\r\nHost: x\r\nA: \x00",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c",
    "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc: d",
    "GET / HTTP/1.1\r\n Host: x",
    "GET / HTTP/1.1\r\nHost: x\r\n\xffA: b",
    # Host (RFC 9112 section 3.2).
    "GET / HTTP/1.1",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: x",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: y",
    "GET / HTTP/1.1\r\nHost: x y",
    "GET / HTTP/1.1\r\nHost: x/y",
    "GET / HTTP/1.1\r\nHost: x@y",
)

_BODIES = (
    # Content-Length (RFC 9112 section 6.3, RFC 9110 section 8.6).
    "Content-Length: -1",
    "Content-Length: +1",
    "Content-Length: 1_0",
    "Content-Length: 0x1",
    "Content-Length: 1.0",
    "Content-Length: 1 1",
    "Content-Length: a",
    "Content-Length:",
    "Content-Length: 1, 2",
    "Content-Length: 1\r\nContent-Length: 2",
    "Content-Length: \xb2",
    "Content-Length: " + "9" * 40,
    # Transfer-Encoding (RFC 9112 sections 6.1 and 7).
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 1",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: identity, chunked, identity",
    'Transfer-Encoding: "chunked"',
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding : chunked",
)

_CHUNKS = (
    # Chunks (RFC 9112 section 7.1).
    "g\r\na\r\n0\r\n\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "+1\r\na\r\n0\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "1_0\r\naaaaaaaaaaaaaaaa\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "1 \x00\r\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\naXX0\r\n\r\n",
    "\r\na\r\n0\r\n\r\n",
    "fffffffffffffffff\r\na\r\n0\r\n\r\n",
    "1;\x00\r\na\r\n0\r\n\r\n",
)

_CHUNKED = "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

INVALID = (
    *(f"{head}\r\n\r\n".encode("latin-1") for head in _HEADS),
    *(f"POST /read HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n0\r\n\r\n".encode("latin-1") for field in _BODIES),
    *(f"{_CHUNKED}{chunks}".encode("latin-1") for chunks in _CHUNKS),
)
