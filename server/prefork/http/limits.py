"""The bounds of a request, and where each number comes from.

Owns: `Limits` (what a person may set) and the bounds nobody needs to set. Runs in: worker. Must not know the settings
file: the worker fills `Limits` from it.
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one request, in bytes unless the name says otherwise. The defaults are those of the settings."""

    max_request_line: int = 8 * 1024
    """Method, target and version. RFC 9112 section 3 recommends at least 8000."""
    max_header_bytes: int = 32 * 1024
    """All field lines together, without the request line: more than any browser sends with its cookies (RFC 6265
    section 6.1 asks for 50 cookies of 4 KiB, none is known to send that many), less than hurts."""
    max_headers: int = 100
    """Field lines."""
    max_body: int = 100 * 1024 * 1024
    """Decoded content; 0 = unlimited."""
    body_memory: int = 256 * 1024
    """Decoded content kept in memory before it goes to a file. Used by whoever makes the body sink."""


MAX_CONTENT_LENGTH_DIGITS = 18
"""The largest number of digits that always fits a signed 64-bit integer, which is what files and proxies count in.
RFC 9110 section 8.6 asks recipients to expect long numerals; `int()` of thousands of digits is also slow."""

MAX_CHUNK_SIZE_DIGITS = 15
"""Hexadecimal digits of a chunk size, leading zeros included: below 2**63 for the same reason (RFC 9112 section 7.1
demands protection against overflow)."""

MAX_CHUNK_EXTENSION = 256
"""Bytes of extensions of one chunk. Extensions are ignored (RFC 9112 section 7.1.1: "A server ought to limit the
total length of chunk extensions"); those seen in the wild are a few dozen bytes of signatures."""

MAX_CHUNK_EXTENSIONS = 16 * 1024
"""Bytes of extensions in one body. The allowance that Go's net/http settled on after CVE-2023-39326 (clients that
made servers read megabytes of extensions for bytes of content)."""

MAX_CHUNKS_A_TURN = 64
"""Chunks decoded in one go. A chunk costs about as much as a field, whatever its size: 64 KiB of chunks of one byte each would
hold a worker for 15 ms. Whoever feeds the codec goes on after it has looked after others."""

MAX_TRAILER_BYTES = 8 * 1024
"""Trailer section. It is thrown away, so this is only room for checksums and timings."""

MAX_TRAILERS = 32
"""Trailer fields."""

MAX_LEARNED_NAMES = 1024
"""Field names remembered beside the well-known ones, so that names of one's own proxies cost no more than `Accept`,
and a client that invents names cannot grow the table (at most 64 KiB of names)."""

MAX_LEARNED_NAME = 64
"""Characters of a field name worth remembering."""
