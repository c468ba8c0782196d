"""The Date and Server lines that every response carries.

Owns: their bytes, made once a second. Refreshed by the worker's loop, read by whichever thread answers (plain attribute reads).
Must not know: requests.
"""

from __future__ import annotations

from email.utils import formatdate


class HeaderStamp:
    """`date`, `server` and `both`: header lines ready for the wire (RFC 9110 sections 6.6.1 and 10.2.4)."""

    __slots__ = ("_second", "both", "date", "server")

    def __init__(self, server_header: str, wall_s: float) -> None:
        self.server = f"Server: {server_header}\r\n".encode("latin-1") if server_header else b""
        self.date = b""
        self.both = b""
        self._second = -1
        self.refresh(wall_s)

    def refresh(self, wall_s: float) -> None:
        """`wall_s` is the wall clock, in seconds since the epoch."""
        second = int(wall_s)
        if second != self._second:
            self._second = second
            self.date = f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
            self.both = self.server + self.date
