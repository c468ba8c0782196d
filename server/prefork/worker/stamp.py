"""The Date and Server lines that every response carries, and whether it is the last of its connection.

Owns: their bytes, made once a second; the word that the worker leaves. Refreshed by the worker's loop, read by whichever thread
answers (plain attribute reads). Must not know: requests.
"""

from __future__ import annotations

import time

from prefork.http.dates import format_date


class HeaderStamp:
    """`date`, `server` and `both`: header lines ready for the wire (RFC 9110 sections 6.6.1 and 10.2.4)."""

    __slots__ = ("_second", "both", "closing", "date", "server")

    def __init__(self, server_header: str, wall_s: float) -> None:
        self.server = f"Server: {server_header}\r\n".encode("latin-1") if server_header else b""
        self.date = b""
        self.both = b""
        self._second = -1
        self.closing = False
        """The worker leaves: a response that begins now says `Connection: close`, also to a request that began before."""
        self.refresh(wall_s)

    def refresh(self, wall_s: float) -> float:
        """`wall_s` is the wall clock, in seconds since the epoch. Returns after how many seconds it is to be called again; if
        somebody sets the clock, the lines are wrong for that long."""
        second = int(wall_s)
        if second != self._second:
            self._second = second
            self.date = f"Date: {format_date(time.gmtime(second))}\r\n".encode("ascii")
            self.both = self.server + self.date
        return second + 1 - wall_s
