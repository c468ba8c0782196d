"""A body delimited by Content-Length.

Owns: counting. Runs in: worker. Must not know where the bytes go.
"""

from __future__ import annotations


class FixedDecoder:
    """The next `length` bytes are content (RFC 9112 section 6.3 item 6)."""

    __slots__ = ("missing", "rest")

    def __init__(self, length: int) -> None:
        self.missing = length
        """Bytes of the body still to come. Whoever receives them past `feed` counts them down."""
        self.rest = b""
        """Bytes behind the end of the body; empty before it."""

    @property
    def complete(self) -> bool:
        return not self.missing

    def feed(self, data: bytes) -> bytes:
        """The content in `data`: `data` itself, uncopied, unless the body ends within it."""
        if len(data) <= self.missing:
            self.missing -= len(data)
            return data
        content, self.rest = data[: self.missing], data[self.missing :]
        self.missing = 0
        return content
