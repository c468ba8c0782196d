"""An open file as the answer to a request: what of it goes out, under which headers.

Owns: the decision (`plan`, pure: conditions and ranges) and the body that follows from it. Runs in the worker, in the thread
that has the request. Must not know: where the file came from, sockets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from prefork.http.conditional import Validators, Verdict, evaluate, range_holds
from prefork.http.dates import format_date
from prefork.http.ranges import ByteRange, read_ranges
from prefork.wsgi.beneath import OpenFile
from prefork.wsgi.filewrapper import FileSpan

Headers = list[tuple[str, str]]

READ_BYTES = 32 * 1024
"""Up to this much is read at once and sent beside its head: one call less than sendfile(2), and no descriptor stays open
for a slow reader."""


class Part(msgspec.Struct, frozen=True):
    """Bytes of our own, then a range of the file."""

    before: bytes
    range: ByteRange


class Plan(msgspec.Struct, frozen=True):
    """Status, headers and body of an answer."""

    status: str
    headers: Headers
    parts: tuple[Part, ...] = ()
    after: bytes = b""


def validators_of(size: int, mtime_ns: int, coding: str = "") -> Validators:
    """Both validators of a file; a representation in another coding has a tag of its own (RFC 9110 section 8.8.3.3)."""
    suffix = f"-{coding}" if coding else ""
    return Validators(f'"{mtime_ns:x}-{size:x}{suffix}"', mtime_ns // 1_000_000_000)


def plan(
    environ: Mapping[str, Any],
    size: int,
    content_type: str,
    validators: Validators,
    headers: Headers,
    *,
    now_s: float,
    boundary: str,
) -> Plan:
    """What to answer with a file of `size` bytes. `headers` are those that a 304 has as well (RFC 9110 section 15.4.5)."""
    method = environ["REQUEST_METHOD"]
    verdict = evaluate(method, environ, validators)
    common = list(headers)
    if validators.etag is not None:
        common.append(("ETag", validators.etag))
    if validators.modified_s is not None:
        common.append(("Last-Modified", format_date(time.gmtime(validators.modified_s))))
    if verdict is Verdict.NOT_MODIFIED:
        return Plan("304 Not Modified", common)
    if verdict is Verdict.FAILED:
        return Plan("412 Precondition Failed", [*common, ("Content-Length", "0")])
    common.append(("Accept-Ranges", "bytes"))
    ranges = _ranges(environ, size, validators, now_s)
    if ranges is None:
        whole = (Part(b"", ByteRange(0, size)),) if size else ()
        return Plan("200 OK", [*common, *_content(content_type, size)], whole)
    if not ranges:
        unsatisfied = [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
        return Plan("416 Range Not Satisfiable", [*common, *unsatisfied])
    if len(ranges) == 1:
        (only,) = ranges
        common.append(("Content-Range", only.content_range(size)))
        return Plan(
            "206 Partial Content", [*common, *_content(content_type, only.length)], (Part(b"", only),)
        )
    return _multipart(ranges, size, content_type, common, boundary)


def _ranges(
    environ: Mapping[str, Any], size: int, validators: Validators, now_s: float
) -> list[ByteRange] | None:
    # Only GET has ranges (RFC 9110 section 14.2).
    field = environ.get("HTTP_RANGE")
    if field is None or environ["REQUEST_METHOD"] != "GET":
        return None
    if not range_holds(environ.get("HTTP_IF_RANGE"), validators, now_s):
        return None
    return read_ranges(field, size)


def _content(content_type: str, length: int) -> Headers:
    kind = [("Content-Type", content_type)] if content_type else []
    return [*kind, ("Content-Length", str(length))]


def _multipart(ranges: list[ByteRange], size: int, content_type: str, common: Headers, boundary: str) -> Plan:
    """Several ranges (RFC 9110 section 14.6)."""
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    parts = tuple(
        Part(
            f"{'' if number == 0 else chr(13) + chr(10)}--{boundary}\r\n{kind}"
            f"Content-Range: {range_.content_range(size)}\r\n\r\n".encode("latin-1"),
            range_,
        )
        for number, range_ in enumerate(ranges)
    )
    after = f"\r\n--{boundary}--\r\n".encode("ascii")
    length = sum(len(part.before) + part.range.length for part in parts) + len(after)
    return Plan(
        "206 Partial Content",
        [*common, *_content(f"multipart/byteranges; boundary={boundary}", length)],
        parts,
        after,
    )


def new_boundary() -> str:
    """One that no file holds by chance, or because somebody guessed it."""
    return os.urandom(16).hex()


class FileBody:
    """The body of a plan: bytes and spans of the file, which it closes."""

    def __init__(self, fd: int, answer: Plan) -> None:
        self._fd = fd
        self._answer = answer

    def __iter__(self) -> Iterator[bytes | FileSpan]:
        for part in self._answer.parts:
            if part.before:
                yield part.before
            yield FileSpan(self._fd, part.range.start, part.range.length)
        if self._answer.after:
            yield self._answer.after

    def close(self) -> None:
        """Closes the file; the sender calls this when all is out."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def body_of(file: OpenFile, answer: Plan, *, head_only: bool) -> Any:
    """The WSGI iterable for `answer`. Takes over `file`."""
    body = FileBody(file.fd, answer)
    length = sum(part.range.length for part in answer.parts)
    if head_only or length == 0:
        body.close()
        return [answer.after] if answer.after else []
    if length > READ_BYTES:
        return body
    try:
        pieces = []
        for part in answer.parts:
            pieces += [part.before, os.pread(file.fd, part.range.length, part.range.start)]
        return [b"".join([*pieces, answer.after])]
    finally:
        body.close()
